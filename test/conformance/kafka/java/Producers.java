import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Producers: one for each command, and transactional ones that are kept by name. */
final class Producers {
  private final String bootstrap;
  private final Map<String, KafkaProducer<byte[], byte[]>> kept = new ConcurrentHashMap<>();

  Producers(String bootstrap) {
    this.bootstrap = bootstrap;
  }

  void addTo(Map<String, Client.Operation> operations) {
    operations.put("produce", this::produce);
    operations.put("transactionOpen", this::open);
    operations.put("transactionBegin", arguments -> {
      named(arguments).beginTransaction();
      return null;
    });
    operations.put("transactionSend", arguments -> send(named(arguments), arguments));
    operations.put("transactionOffsets", this::sendOffsets);
    operations.put("transactionCommit", arguments -> {
      named(arguments).commitTransaction();
      return null;
    });
    operations.put("transactionAbort", arguments -> {
      named(arguments).abortTransaction();
      return null;
    });
    operations.put("transactionClose", arguments -> {
      kept.remove(arguments.get("name").asText()).close();
      return null;
    });
  }

  private KafkaProducer<byte[], byte[]> open(Map<String, Object> more, JsonNode arguments) {
    Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "max.block.ms", "5000", "delivery.timeout.ms", "10000", "request.timeout.ms", "5000"));
    settings.putAll(more);
    if (arguments.has("compression")) settings.put("compression.type", arguments.get("compression").asText());
    if (arguments.has("acks")) {
      settings.put("acks", arguments.get("acks").asText());
      settings.put("enable.idempotence", "false");
    }
    if (arguments.has("settings")) arguments.get("settings").fields().forEachRemaining(e -> settings.put(e.getKey(), e.getValue().asText()));
    return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
  }

  private Object produce(JsonNode arguments) throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = open(Map.of(), arguments)) {
      return send(producer, arguments);
    }
  }

  private static Object send(KafkaProducer<byte[], byte[]> producer, JsonNode arguments) throws Exception {
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (JsonNode each : arguments.get("records")) sent.add(producer.send(Records.fromJson(arguments.get("topic").asText(), each)));
    producer.flush();
    List<Object> results = new ArrayList<>();
    for (Future<RecordMetadata> each : sent) {
      try {
        results.add(each.get().partition() + "@" + (each.get().hasOffset() ? each.get().offset() : "?"));
      } catch (ExecutionException failed) {
        if (sent.size() == 1) throw failed;
        results.add(Client.nameOf(Client.rootOf(failed)));
      }
    }
    return results;
  }

  private KafkaProducer<byte[], byte[]> named(JsonNode arguments) {
    return kept.get(arguments.get("name").asText());
  }

  private Object open(JsonNode arguments) {
    Map<String, Object> settings = new HashMap<>(Map.of("transactional.id", arguments.get("transactionalId").asText()));
    if (arguments.has("timeoutMs")) settings.put("transaction.timeout.ms", arguments.get("timeoutMs").asText());
    KafkaProducer<byte[], byte[]> producer = open(settings, arguments);
    kept.put(arguments.get("name").asText(), producer);
    producer.initTransactions();
    return null;
  }

  private Object sendOffsets(JsonNode arguments) {
    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    for (JsonNode each : arguments.get("offsets")) {
      offsets.put(new TopicPartition(each.get(0).asText(), each.get(1).asInt()), new OffsetAndMetadata(each.get(2).asLong()));
    }
    ConsumerGroupMetadata group = arguments.has("consumer")
        ? Consumers.named(arguments.get("consumer").asText()).groupMetadata()
        : new ConsumerGroupMetadata(arguments.get("group").asText());
    named(arguments).sendOffsetsToTransaction(offsets, group);
    return null;
  }
}
