import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.common.utils.Exit;

/** The main methods of Kafka's command line tools, one after the other in this process. */
final class Tools {
  private static final long patienceSeconds = 20;

  private static final class Ended extends RuntimeException {
    final int code;

    Ended(int code) {
      super(null, null, false, false);
      this.code = code;
    }
  }

  private final String bootstrap;
  private final List<Runnable> hooks = new ArrayList<>();
  private volatile Integer exitCode;

  Tools(String bootstrap) {
    this.bootstrap = bootstrap;
    Exit.setExitProcedure((code, message) -> end(code));
    Exit.setHaltProcedure((code, message) -> end(code));
    Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
  }

  /** A tool may catch what ends it here, and go on talking; it would be gone by then. */
  private void end(int code) {
    if (exitCode == null) exitCode = code;
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    System.setErr(new PrintStream(OutputStream.nullOutputStream()));
    throw new Ended(code);
  }

  void addTo(Map<String, Client.Operation> operations) {
    operations.put("tool", this::run);
  }

  private synchronized Object run(JsonNode arguments) throws Exception {
    List<String> args = new ArrayList<>(List.of("--bootstrap-server", bootstrap));
    arguments.get("args").forEach(each -> args.add(each.asText()));
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    PrintStream outBefore = System.out;
    PrintStream errBefore = System.err;
    InputStream inBefore = System.in;
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
    System.setIn(new ByteArrayInputStream(Client.text(arguments, "input", "").getBytes(StandardCharsets.UTF_8)));
    exitCode = null;
    FutureTask<Integer> work = new FutureTask<>(() -> call(arguments.get("tool").asText(), args.toArray(new String[0])));
    Thread thread = new Thread(work, "tool");
    thread.setDaemon(true);
    thread.start();
    Object code;
    try {
      code = work.get(patienceSeconds, TimeUnit.SECONDS);
    } catch (TimeoutException hangs) {
      thread.interrupt();
      code = "hangs";
    } finally {
      System.setOut(outBefore);
      System.setErr(errBefore);
      System.setIn(inBefore);
      hooks.clear();
    }
    Map<String, Object> made = new LinkedHashMap<>();
    made.put("exitCode", exitCode == null ? code : exitCode);
    made.put("out", out.toString(StandardCharsets.UTF_8));
    made.put("err", err.toString(StandardCharsets.UTF_8));
    return made;
  }

  private static int call(String tool, String[] args) throws Exception {
    try {
      Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) args);
      return 0;
    } catch (InvocationTargetException thrown) {
      for (Throwable cause = thrown; cause != null; cause = cause.getCause()) if (cause instanceof Ended ended) return ended.code;
      thrown.getCause().printStackTrace();
      return 1;
    }
  }
}
