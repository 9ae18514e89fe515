import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Follows a topic of counts as readers of what is committed see it, a line of JSON for each: word and count. Ends with its input. */
public final class Counts {
  public static void main(String[] args) throws Exception {
    Thread watch = new Thread(() -> {
      try {
        while (System.in.read() >= 0) continue;
      } catch (java.io.IOException gone) {
        // As at the end of the stream.
      }
      Runtime.getRuntime().halt(0);
    });
    watch.setDaemon(true);
    watch.start();
    ObjectMapper json = new ObjectMapper();
    Set<TopicPartition> partitions = new TreeSet<>(Comparator.comparingInt(TopicPartition::partition));
    for (int i = 0; i < Integer.parseInt(args[2]); i++) partitions.add(new TopicPartition(args[1], i));
    Map<String, Object> settings = Map.of("bootstrap.servers", args[0], "enable.auto.commit", "false", "isolation.level", "read_committed", "reconnect.backoff.max.ms", "500", "request.timeout.ms", "5000");
    KafkaConsumer<String, Long> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer());
    consumer.assign(partitions);
    consumer.seekToBeginning(partitions);
    StringBuilder told = new StringBuilder();
    while (true) {
      for (ConsumerRecord<String, Long> each : consumer.poll(Duration.ofMillis(200))) {
        told.append(json.writeValueAsString(List.of(each.key(), each.value()))).append('\n');
      }
      System.out.print(told);
      System.out.flush();
      told.setLength(0);
    }
  }
}
