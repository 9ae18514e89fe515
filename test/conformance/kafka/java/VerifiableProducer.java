import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Semaphore;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends numbered records, each number once; a value is "who number transaction". */
final class VerifiableProducer implements Verifiable.Role {
  private static final int outstanding = 50;
  private final String who;
  private final String mode;
  private final String topic;
  private final int partitions;
  private final long pauseMs;
  private final int fillerBytesMax;
  private final Map<String, Object> settings = new HashMap<>();
  private final Random random = new Random();
  private long next;
  private long nextTransaction;

  VerifiableProducer(String bootstrap, JsonNode role) {
    who = role.get("who").asText();
    mode = role.get("mode").asText();
    topic = role.get("topic").asText();
    partitions = role.get("partitions").asInt();
    pauseMs = role.get("pauseMs").asLong();
    fillerBytesMax = role.get("fillerBytesMax").asInt();
    next = role.get("first").asLong();
    nextTransaction = next;
    settings.putAll(Map.of(
        "bootstrap.servers", bootstrap,
        "acks", "all",
        "linger.ms", "2",
        "compression.type", role.get("compression").asText(),
        "request.timeout.ms", "5000",
        "delivery.timeout.ms", "60000",
        "max.block.ms", "60000",
        "reconnect.backoff.max.ms", "500",
        "enable.idempotence", mode.equals("plain") ? "false" : "true"));
    if (mode.equals("plain")) settings.put("max.in.flight.requests.per.connection", "1");
    if (mode.equals("transactional")) settings.putAll(Map.of("transactional.id", who, "transaction.timeout.ms", "20000"));
  }

  @Override
  public void run() {
    if (mode.equals("transactional")) runTransactions();
    else runSends();
  }

  private void runSends() {
    Semaphore room = new Semaphore(outstanding);
    try (KafkaProducer<byte[], String> producer = open()) {
      while (!Verifiable.stopping) {
        room.acquireUninterruptibly();
        send(producer, 0, room);
        Verifiable.pause(pauseMs);
      }
    }
  }

  private void runTransactions() {
    KafkaProducer<byte[], String> producer = null;
    while (!Verifiable.stopping) {
      try {
        if (producer == null) {
          producer = open();
          producer.initTransactions();
        }
        transact(producer, ++nextTransaction);
        Verifiable.pause(pauseMs);
      } catch (RuntimeException fatal) {
        Verifiable.say("word", who, nextTransaction, fatal.toString());
        if (producer != null) producer.close(Duration.ZERO);
        producer = null;
        Verifiable.pause(100);
      }
    }
    if (producer != null) producer.close();
  }

  private void transact(KafkaProducer<byte[], String> producer, long transaction) {
    producer.beginTransaction();
    try {
      int count = 1 + random.nextInt(8);
      for (int i = 0; i < count; i++) {
        send(producer, transaction, null);
        if (random.nextInt(4) == 0) Verifiable.pause(random.nextInt(20));
      }
      if (random.nextInt(4) == 0) {
        producer.abortTransaction();
        Verifiable.say("aborted", who, transaction);
        return;
      }
      Verifiable.say("asked", who, transaction);
      commit(producer);
      Verifiable.say("committed", who, transaction);
    } catch (ProducerFencedException | OutOfOrderSequenceException | AuthorizationException | UnsupportedVersionException fatal) {
      throw fatal;
    } catch (KafkaException abortable) {
      Verifiable.say("word", who, transaction, abortable.toString());
      producer.abortTransaction();
      Verifiable.say("aborted", who, transaction);
    }
  }

  /** What had no answer in time must be asked again, and nothing else. */
  private static void commit(KafkaProducer<byte[], String> producer) {
    for (int attempt = 1; ; attempt++) {
      try {
        producer.commitTransaction();
        return;
      } catch (TimeoutException unanswered) {
        if (attempt == 3) throw new IllegalStateException("a commit that is never answered", unanswered);
      }
    }
  }

  private void send(KafkaProducer<byte[], String> producer, long transaction, Semaphore room) {
    long number = ++next;
    int partition = random.nextInt(partitions);
    Verifiable.say("send", who, number, transaction, partition);
    producer.send(new ProducerRecord<>(topic, partition, keyOf(number), who + " " + number + " " + transaction), (metadata, failure) -> {
      if (room != null) room.release();
      if (failure == null) Verifiable.say("ack", who, number, partition, metadata.offset());
      else Verifiable.say("failed", who, number, failure.toString());
    });
  }

  /** Most are small, some large; no two are the same, so that compaction keeps them all. */
  private byte[] keyOf(long number) {
    byte[] name = (who + " " + number + " ").getBytes(StandardCharsets.UTF_8);
    int size = random.nextInt(random.nextInt(8) == 0 ? fillerBytesMax + 1 : fillerBytesMax / 64 + 1);
    byte[] filler = new byte[size];
    random.nextBytes(filler);
    byte[] key = Arrays.copyOf(name, name.length + size);
    System.arraycopy(filler, 0, key, name.length, size);
    return key;
  }

  private KafkaProducer<byte[], String> open() {
    return new KafkaProducer<>(settings, new ByteArraySerializer(), new StringSerializer());
  }
}
