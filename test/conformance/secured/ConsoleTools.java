import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/**
 * The main methods of Kafka's command line tools, one after the other, behind one line of JSON for each. Nothing else in
 * here talks to a broker, unlike in the process of the clients' tour.
 */
public final class ConsoleTools {
  private static final class Ended extends RuntimeException {
    Ended() {
      super(null, null, false, false);
    }
  }

  private static final ObjectMapper json = new ObjectMapper();
  private static final PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  private static volatile Integer exitCode;

  public static void main(String[] given) throws Exception {
    Exit.setExitProcedure((code, message) -> end(code));
    Exit.setHaltProcedure((code, message) -> end(code));
    Exit.setShutdownHookAdder((name, hook) -> {});
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode command = json.readTree(line);
      answers.println(json.writeValueAsString(Map.of("id", command.get("id").asInt(), "ok", run(command.get("arguments")))));
    }
    Runtime.getRuntime().halt(0);
  }

  /** A tool may catch what ends it here, and go on talking; it would be gone by then. */
  private static void end(int code) {
    if (exitCode == null) exitCode = code;
    silence();
    throw new Ended();
  }

  private static void silence() {
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    System.setErr(new PrintStream(OutputStream.nullOutputStream()));
  }

  private static Map<String, Object> run(JsonNode arguments) throws Exception {
    List<String> args = new ArrayList<>();
    arguments.get("args").forEach(each -> args.add(each.asText()));
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
    System.setIn(new ByteArrayInputStream(arguments.get("input").asText().getBytes(StandardCharsets.UTF_8)));
    exitCode = null;
    int otherwise = 0;
    try {
      Class.forName(arguments.get("tool").asText()).getMethod("main", String[].class).invoke(null, (Object) args.toArray(new String[0]));
    } catch (InvocationTargetException thrown) {
      if (!(thrown.getCause() instanceof Ended)) thrown.getCause().printStackTrace();
      otherwise = 1;
    }
    silence();
    Map<String, Object> said = new HashMap<>();
    said.put("exitCode", exitCode == null ? otherwise : exitCode);
    said.put("out", out.toString(StandardCharsets.UTF_8));
    said.put("err", err.toString(StandardCharsets.UTF_8));
    return said;
  }
}
