import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Clients that write down what they do, a line of JSON for each thing, before they do it and after it was answered.
 * They stop in order at the line "stop", and at once when their standard input ends.
 */
public final class Verifiable {
  /** Of a role: runs until `stopping` is true. */
  interface Role {
    void run() throws Exception;
  }

  static volatile boolean stopping;
  private static final ObjectMapper json = new ObjectMapper();
  private static PrintStream out;

  public static void main(String[] args) throws Exception {
    out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    System.setOut(System.err);
    List<Thread> threads = new ArrayList<>();
    for (JsonNode role : json.readTree(args[1])) threads.add(start(args[0], role));
    Thread ending = new Thread(() -> {
      try {
        for (Thread each : threads) each.join();
      } catch (InterruptedException stopped) {
        // As if all had ended.
      }
      Runtime.getRuntime().halt(0);
    });
    ending.start();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) stopping |= line.equals("stop");
    Runtime.getRuntime().halt(0);
  }

  private static Thread start(String bootstrap, JsonNode role) {
    Role made = switch (role.get("role").asText()) {
      case "producer" -> new VerifiableProducer(bootstrap, role);
      case "consumer" -> new VerifiableConsumer(bootstrap, role);
      case "observer" -> new VerifiableObserver(bootstrap, role);
      case "reader" -> new VerifiableReader(bootstrap, role);
      default -> throw new IllegalArgumentException(role.toString());
    };
    String who = role.path("who").asText(role.get("role").asText());
    Thread thread = new Thread(() -> {
      try {
        made.run();
      } catch (Throwable ended) {
        say("ended", who, ended.toString());
      }
    });
    thread.start();
    return thread;
  }

  /** The line is with the system when this returns, so that a kill loses nothing of it. */
  static void say(Object... parts) {
    try {
      String line = json.writeValueAsString(parts);
      synchronized (out) {
        out.println(line);
        out.flush();
      }
    } catch (Exception impossible) {
      Runtime.getRuntime().halt(1);
    }
  }

  /** Of a clock that all processes of one machine share. */
  static long microseconds() {
    return System.nanoTime() / 1_000;
  }

  static void pause(long milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException stopped) {
      stopping = true;
    }
  }
}
