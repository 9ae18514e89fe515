import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** Records from and to JSON. */
final class Records {
  /** Later timestamps are a clock's, and not told. */
  static final long explicitTimestampMax = 1_500_000_000_000L;

  static ProducerRecord<byte[], byte[]> fromJson(String topic, JsonNode record) {
    List<Header> headers = new ArrayList<>();
    if (record.has("headers")) for (JsonNode each : record.get("headers")) headers.add(new RecordHeader(each.get(0).asText(), bytes(each.get(1))));
    Integer partition = record.has("partition") ? (Integer) record.get("partition").asInt() : null;
    Long timestamp = record.has("timestamp") ? (Long) record.get("timestamp").asLong() : null;
    return new ProducerRecord<>(topic, partition, timestamp, bytes(record.get("key")), value(record), headers);
  }

  private static byte[] value(JsonNode record) {
    if (!record.has("valueBytes")) return bytes(record.get("value"));
    byte[] filled = new byte[record.get("valueBytes").asInt()];
    Arrays.fill(filled, (byte) 'x');
    return filled;
  }

  private static byte[] bytes(JsonNode node) {
    return node == null || node.isNull() ? null : node.asText().getBytes(StandardCharsets.UTF_8);
  }

  static List<Object> toJson(List<ConsumerRecord<byte[], byte[]>> records) {
    return records.stream()
        .sorted(Comparator.<ConsumerRecord<byte[], byte[]>, String>comparing(ConsumerRecord::topic)
            .thenComparing(ConsumerRecord::partition)
            .thenComparing(ConsumerRecord::offset))
        .<Object>map(Records::toJson)
        .toList();
  }

  private static Map<String, Object> toJson(ConsumerRecord<byte[], byte[]> record) {
    Map<String, Object> made = new LinkedHashMap<>();
    made.put("at", record.topic() + "-" + record.partition() + "@" + record.offset());
    made.put("key", text(record.key()));
    made.put("value", text(record.value()));
    List<Object> headers = new ArrayList<>();
    for (Header each : record.headers()) headers.add(Arrays.asList(each.key(), text(each.value())));
    if (!headers.isEmpty()) made.put("headers", headers);
    if (record.timestamp() < explicitTimestampMax) made.put("timestamp", record.timestamp());
    made.put("timestampType", record.timestampType().toString());
    return made;
  }

  private static String text(byte[] bytes) {
    if (bytes == null) return null;
    return bytes.length > 200 ? bytes.length + " bytes" : new String(bytes, StandardCharsets.UTF_8);
  }
}
