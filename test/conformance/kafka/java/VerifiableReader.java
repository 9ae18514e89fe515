import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.Comparator;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Reads a topic from its beginning to its end, once as each isolation shows it, and says both ends. */
final class VerifiableReader implements Verifiable.Role {
  private final String bootstrap;
  private final String topic;
  private final Set<TopicPartition> partitions = new TreeSet<>(Comparator.comparingInt(TopicPartition::partition));

  VerifiableReader(String bootstrap, JsonNode role) {
    this.bootstrap = bootstrap;
    topic = role.get("topic").asText();
    for (int i = 0; i < role.get("partitions").asInt(); i++) partitions.add(new TopicPartition(topic, i));
  }

  @Override
  public void run() {
    read("uncommitted");
    read("committed");
    Verifiable.say("done", "reader");
  }

  private void read(String isolation) {
    Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", "false", "isolation.level", "read_" + isolation));
    try (KafkaConsumer<byte[], String> consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new StringDeserializer())) {
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      while (partitions.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
        var records = consumer.poll(Duration.ofMillis(100));
        for (TopicPartition each : records.partitions()) {
          List<Object> told = new ArrayList<>();
          for (ConsumerRecord<byte[], String> record : records.records(each)) told.add(List.of(record.offset(), record.value()));
          Verifiable.say("log", isolation, each.partition(), told);
        }
      }
      ends.forEach((partition, end) -> Verifiable.say("end", isolation, partition.partition(), end));
    }
  }
}
