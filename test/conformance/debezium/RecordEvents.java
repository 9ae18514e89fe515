import com.fasterxml.jackson.databind.ObjectMapper;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.Header;
import io.debezium.engine.format.Json;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Executors;

/**
 * Debezium's embedded engine with the properties of the command line (`name=value`). Prints each event as a line of JSON:
 * topic, key, value and headers, all as the texts that its converters made. Ends when standard input does.
 */
public final class RecordEvents {
  public static void main(String[] arguments) throws Exception {
    PrintStream events = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    // What the engine logs must not lie between the events.
    System.setOut(System.err);
    Properties properties = new Properties();
    for (String argument : arguments) {
      int at = argument.indexOf('=');
      properties.setProperty(argument.substring(0, at), argument.substring(at + 1));
    }
    ObjectMapper mapper = new ObjectMapper();
    DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class, Json.class, Json.class)
      .using(properties)
      .using((success, message, error) -> {
        if (success) return;
        System.err.println("the engine ended: " + message);
        if (error != null) error.printStackTrace();
        System.exit(1);
      })
      .notifying(event -> {
        List<Map<String, Object>> headers = new ArrayList<>();
        for (Header<?> header : event.headers()) {
          Map<String, Object> one = new LinkedHashMap<>();
          one.put("key", header.getKey());
          one.put("value", header.getValue());
          headers.add(one);
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("topic", event.destination());
        line.put("key", event.key());
        line.put("value", event.value());
        line.put("headers", headers);
        try {
          events.println(mapper.writeValueAsString(line));
        } catch (java.io.IOException error) {
          throw new IllegalStateException(error);
        }
      })
      .build();
    var executor = Executors.newSingleThreadExecutor();
    executor.execute(engine);
    while (System.in.read() >= 0) continue;
    engine.close();
    executor.shutdown();
    System.exit(0);
  }
}
