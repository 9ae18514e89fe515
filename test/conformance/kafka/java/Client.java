import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.kafka.common.KafkaException;

/** Kafka's own client behind one line of JSON for each command, and one for each answer. Ends with its input. */
public final class Client {
  interface Operation {
    Object run(JsonNode arguments) throws Exception;
  }

  static final ObjectMapper json = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Map<String, Operation> operations = new HashMap<>();
    new Topics(args[0]).addTo(operations);
    new Groups(args[0]).addTo(operations);
    new Cluster(args[0]).addTo(operations);
    new Producers(args[0]).addTo(operations);
    new Consumers(args[0]).addTo(operations);
    new Tools(args[0]).addTo(operations);
    ExecutorService pool = Executors.newCachedThreadPool();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode command = json.readTree(line);
      pool.submit(() -> {
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("id", command.get("id").asInt());
        Operation operation = operations.get(command.get("op").asText());
        try {
          if (operation == null) throw new UnsupportedOperationException("no such operation");
          answer.put("ok", operation.run(command.get("arguments")));
        } catch (Throwable thrown) {
          Throwable cause = rootOf(thrown);
          answer.put("error", nameOf(cause));
          answer.put("message", String.valueOf(cause.getMessage()));
        }
        String text = json.writeValueAsString(answer);
        synchronized (out) {
          out.println(text);
        }
        return null;
      });
    }
    Runtime.getRuntime().halt(0);
  }

  /** What a user would catch: wrappers that say nothing of their own are taken off. */
  static Throwable rootOf(Throwable thrown) {
    Throwable cause = thrown;
    while (cause.getCause() != null
        && (cause instanceof ExecutionException
            || cause instanceof CompletionException
            || cause.getClass() == KafkaException.class)) {
      cause = cause.getCause();
    }
    return cause;
  }

  static String nameOf(Throwable thrown) {
    return thrown instanceof UnsupportedOperationException ? "UNSUPPORTED" : thrown.getClass().getSimpleName();
  }

  static String text(JsonNode arguments, String name, String otherwise) {
    JsonNode found = arguments.get(name);
    return found == null || found.isNull() ? otherwise : found.asText();
  }
}
