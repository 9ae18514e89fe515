import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group: reads what is committed, writes it down, and commits where it is. */
final class VerifiableConsumer implements Verifiable.Role, ConsumerRebalanceListener {
  private static final Map<String, String> assignors = Map.of(
      "range", "org.apache.kafka.clients.consumer.RangeAssignor",
      "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
  private final String who;
  private final String group;
  private final String topic;
  private final KafkaConsumer<byte[], String> consumer;

  VerifiableConsumer(String bootstrap, JsonNode role) {
    who = role.get("who").asText();
    group = role.get("group").asText();
    topic = role.get("topic").asText();
    Map<String, Object> settings = new HashMap<>(Map.of(
        "bootstrap.servers", bootstrap,
        "group.id", group,
        "client.id", who,
        "enable.auto.commit", "false",
        "isolation.level", "read_committed",
        "auto.offset.reset", "earliest",
        "request.timeout.ms", "5000",
        "default.api.timeout.ms", "5000",
        "reconnect.backoff.max.ms", "500",
        "max.poll.records", "200"));
    if (role.has("instanceId")) settings.put("group.instance.id", role.get("instanceId").asText());
    if (role.get("protocol").asText().equals("consumer")) {
      settings.put("group.protocol", "consumer");
    } else {
      settings.put("session.timeout.ms", "6000");
      settings.put("heartbeat.interval.ms", "500");
      settings.put("partition.assignment.strategy", assignors.get(role.get("assignor").asText()));
    }
    consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new StringDeserializer());
  }

  @Override
  public void run() {
    consumer.subscribe(Set.of(topic), this);
    while (!Verifiable.stopping) {
      try {
        ConsumerRecords<byte[], String> records = consumer.poll(Duration.ofMillis(100));
        if (records.isEmpty()) continue;
        for (TopicPartition each : records.partitions()) tell(each, records.records(each));
        commit(records.nextOffsets());
        Verifiable.pause(50);
      } catch (KafkaException refused) {
        Verifiable.say("word", who, refused.toString());
        Verifiable.pause(50);
      }
    }
    consumer.close();
  }

  private void tell(TopicPartition partition, List<ConsumerRecord<byte[], String>> records) {
    List<Object> told = new ArrayList<>();
    for (var each : records) told.add(List.of(each.offset(), each.value()));
    Verifiable.say("read", who, group, partition.partition(), told);
  }

  private void commit(Map<TopicPartition, OffsetAndMetadata> next) {
    long from = Verifiable.microseconds();
    consumer.commitSync(next);
    long to = Verifiable.microseconds();
    next.forEach((partition, place) -> Verifiable.say("position", who, group, partition.partition(), place.offset(), from, to, "commit"));
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
    Verifiable.say("assigned", who, group, partitions.stream().map(TopicPartition::partition).sorted().toList());
    long from = Verifiable.microseconds();
    try {
      var found = consumer.committed(Set.copyOf(partitions));
      long to = Verifiable.microseconds();
      found.forEach((partition, place) -> Verifiable.say("position", who, group, partition.partition(), place == null ? -1 : place.offset(), from, to, "seen"));
    } catch (KafkaException unanswered) {
      Verifiable.say("word", who, unanswered.toString());
    }
  }

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
    Verifiable.say("revoked", who, group, partitions.stream().map(TopicPartition::partition).sorted().toList());
  }
}
