import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumers that are kept by name, and reading without a group. */
final class Consumers {
  private static final Map<String, Membership> kept = new ConcurrentHashMap<>();
  private static final Map<String, String> assignors = Map.of(
      "range", "org.apache.kafka.clients.consumer.RangeAssignor",
      "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
      "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
      "cooperative", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
  private final String bootstrap;

  Consumers(String bootstrap) {
    this.bootstrap = bootstrap;
  }

  void addTo(Map<String, Client.Operation> operations) {
    operations.put("consumerOpen", this::open);
    operations.put("consumerTake", arguments -> member(arguments).take(arguments.get("count").asInt()));
    operations.put("consumerAssigned", arguments -> member(arguments).assigned(arguments.get("count").asInt()));
    operations.put("consumerCommit", arguments -> member(arguments).commit(Client.text(arguments, "metadata", "")));
    operations.put("consumerCommitted", arguments -> member(arguments).committed(partition(arguments)));
    operations.put("consumerSeek", arguments -> member(arguments).seek(partition(arguments), arguments.get("offset").asLong()));
    operations.put("consumerAtEnd", arguments -> member(arguments).atEnd(partition(arguments)));
    operations.put("consumerFailure", arguments -> member(arguments).failure());
    operations.put("consumerClose", arguments -> {
      Membership closed = kept.remove(arguments.get("name").asText());
      return closed.close();
    });
    operations.put("offsetForTime", this::offsetForTime);
    operations.put("commitAlone", this::commitAlone);
    operations.put("read", this::read);
  }

  static Membership named(String name) {
    return kept.get(name);
  }

  private static Membership member(JsonNode arguments) {
    return named(arguments.get("name").asText());
  }

  private static TopicPartition partition(JsonNode arguments) {
    return new TopicPartition(arguments.get("topic").asText(), arguments.get("partition").asInt());
  }

  private KafkaConsumer<byte[], byte[]> consumer(JsonNode arguments) {
    Map<String, Object> settings = new HashMap<>(Map.of(
        "bootstrap.servers", bootstrap,
        "enable.auto.commit", "false",
        "default.api.timeout.ms", "10000",
        "request.timeout.ms", "10000",
        "fetch.max.wait.ms", "100",
        "auto.offset.reset", Client.text(arguments, "reset", "earliest"),
        "isolation.level", arguments.path("committed").asBoolean() ? "read_committed" : "read_uncommitted"));
    if (arguments.path("impatient").asBoolean()) settings.put("default.api.timeout.ms", "1500");
    if (arguments.has("group")) settings.put("group.id", arguments.get("group").asText());
    if (arguments.has("instanceId")) settings.put("group.instance.id", arguments.get("instanceId").asText());
    if (arguments.has("assignor")) settings.put("partition.assignment.strategy", assignors.get(arguments.get("assignor").asText()));
    if (arguments.has("protocol")) settings.put("group.protocol", arguments.get("protocol").asText());
    if (!"consumer".equals(Client.text(arguments, "protocol", ""))) {
      settings.put("session.timeout.ms", "6000");
      settings.put("heartbeat.interval.ms", "200");
    }
    if (arguments.has("settings")) arguments.get("settings").fields().forEachRemaining(e -> settings.put(e.getKey(), e.getValue().asText()));
    return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private Object open(JsonNode arguments) {
    KafkaConsumer<byte[], byte[]> consumer = consumer(arguments);
    if (arguments.has("pattern")) {
      String pattern = arguments.get("pattern").asText();
      if ("consumer".equals(Client.text(arguments, "protocol", ""))) consumer.subscribe(new SubscriptionPattern(pattern));
      else consumer.subscribe(Pattern.compile(pattern));
    } else {
      List<String> topics = new ArrayList<>();
      arguments.get("topics").forEach(each -> topics.add(each.asText()));
      consumer.subscribe(topics);
    }
    kept.put(arguments.get("name").asText(), new Membership(consumer));
    return null;
  }

  private Object offsetForTime(JsonNode arguments) {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(arguments)) {
      OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition(arguments), arguments.get("timestamp").asLong())).get(partition(arguments));
      return found == null ? null : found.offset();
    }
  }

  /** Commits for a group without being a member of it. */
  private Object commitAlone(JsonNode arguments) {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(arguments)) {
      consumer.assign(List.of(partition(arguments)));
      consumer.commitSync(Map.of(partition(arguments), new OffsetAndMetadata(arguments.get("offset").asLong(), Client.text(arguments, "metadata", ""))));
      return null;
    }
  }

  /** From where it is told to the end that it may see. */
  private Object read(JsonNode arguments) {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(arguments)) {
      String topic = arguments.get("topic").asText();
      Set<TopicPartition> partitions = arguments.has("partition")
          ? Set.of(partition(arguments))
          : consumer.partitionsFor(topic).stream().map(each -> new TopicPartition(topic, each.partition())).collect(Collectors.toSet());
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      consumer.assign(partitions);
      if (arguments.path("from").isNumber()) for (TopicPartition each : partitions) consumer.seek(each, arguments.get("from").asLong());
      else consumer.seekToBeginning(partitions);
      List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
      long deadline = System.nanoTime() + 10_000_000_000L;
      while (partitions.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
        consumer.poll(Duration.ofMillis(100)).forEach(found::add);
        if (System.nanoTime() > deadline) return Map.of("short", Records.toJson(found));
      }
      return Records.toJson(found);
    }
  }
}
