import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends each line of its standard input once, to one partition after the other; says how many, when all are acknowledged. */
public final class Lines {
  public static void main(String[] args) throws Exception {
    String topic = args[1];
    int partitions = Integer.parseInt(args[2]);
    Map<String, Object> settings = Map.of(
        "bootstrap.servers", args[0],
        "enable.idempotence", "true",
        "request.timeout.ms", "5000",
        "reconnect.backoff.max.ms", "500",
        "delivery.timeout.ms", "60000",
        "max.block.ms", "60000");
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    int count = 0;
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        producer.send(new ProducerRecord<>(topic, count++ % partitions, null, line), (metadata, failure) -> {
          if (failure == null) return;
          System.err.println(failure);
          Runtime.getRuntime().halt(1);
        });
      }
      producer.flush();
    }
    System.out.println(count);
  }
}
