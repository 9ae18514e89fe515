import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** Topics, their settings and offsets, by the admin client. */
final class Topics {
  private final Admin admin;
  private final Admin impatient;

  Topics(String bootstrap) {
    admin = open(bootstrap, "10000");
    impatient = open(bootstrap, "1500");
  }

  private static Admin open(String bootstrap, String patienceMs) {
    return Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", patienceMs, "request.timeout.ms", patienceMs));
  }

  /** For what the client asks again and again although it was refused. */
  private Admin admin(JsonNode arguments) {
    return arguments.path("impatient").asBoolean() ? impatient : admin;
  }

  void addTo(Map<String, Client.Operation> operations) {
    operations.put("createTopic", this::create);
    operations.put("listTopics", arguments -> admin.listTopics().names().get().stream().sorted().toList());
    operations.put("describeTopic", this::describe);
    operations.put("deleteTopic", arguments -> admin.deleteTopics(List.of(topic(arguments))).all().get());
    operations.put("addPartitions", this::addPartitions);
    operations.put("describeConfigs", this::describeConfigs);
    operations.put("alterConfigs", this::alterConfigs);
    operations.put("listOffset", this::listOffset);
    operations.put("deleteRecords", this::deleteRecords);
    operations.put("describeProducers", this::describeProducers);
  }

  private static String topic(JsonNode arguments) {
    return arguments.get("topic").asText();
  }

  private static TopicPartition partition(JsonNode arguments) {
    return new TopicPartition(topic(arguments), arguments.get("partition").asInt());
  }

  private Object create(JsonNode arguments) throws Exception {
    NewTopic topic = new NewTopic(
        topic(arguments),
        Optional.ofNullable(arguments.get("partitions")).map(JsonNode::asInt),
        Optional.ofNullable(arguments.get("replicationFactor")).map(node -> (short) node.asInt()));
    Map<String, String> configs = new HashMap<>();
    if (arguments.has("configs")) arguments.get("configs").fields().forEachRemaining(e -> configs.put(e.getKey(), e.getValue().asText()));
    topic.configs(configs);
    boolean validateOnly = arguments.path("validateOnly").asBoolean();
    var result = admin.createTopics(List.of(topic), new CreateTopicsOptions().validateOnly(validateOnly));
    result.all().get();
    return Map.of(
        "partitions", result.numPartitions(topic(arguments)).get(),
        "replicationFactor", result.replicationFactor(topic(arguments)).get());
  }

  private Object describe(JsonNode arguments) throws Exception {
    TopicDescription found = admin.describeTopics(List.of(topic(arguments))).allTopicNames().get().get(topic(arguments));
    List<Object> partitions = new ArrayList<>();
    found.partitions().forEach(each -> partitions.add(Map.of(
        "partition", each.partition(),
        "led", each.leader() != null && !each.leader().isEmpty(),
        "replicas", each.replicas().size(),
        "inSync", each.isr().size())));
    return Map.of("internal", found.isInternal(), "identified", found.topicId() != null, "partitions", partitions);
  }

  private Object addPartitions(JsonNode arguments) throws Exception {
    NewPartitions wanted = NewPartitions.increaseTo(arguments.get("count").asInt());
    admin.createPartitions(Map.of(topic(arguments), wanted)).all().get();
    return null;
  }

  private static ConfigResource resource(JsonNode arguments) {
    return arguments.has("broker")
        ? new ConfigResource(ConfigResource.Type.BROKER, arguments.get("broker").asText())
        : new ConfigResource(ConfigResource.Type.TOPIC, topic(arguments));
  }

  private Object describeConfigs(JsonNode arguments) throws Exception {
    ConfigResource resource = resource(arguments);
    Config found = admin.describeConfigs(List.of(resource)).all().get().get(resource);
    Map<String, Object> entries = new TreeMap<>();
    for (ConfigEntry entry : found.entries()) {
      if (arguments.has("names") && !contains(arguments.get("names"), entry.name())) continue;
      entries.put(entry.name(), entry.value() + " (" + entry.source() + ", " + entry.type()
          + (entry.isReadOnly() ? ", read only" : "") + (entry.isSensitive() ? ", sensitive" : "") + ")");
    }
    return entries;
  }

  private static boolean contains(JsonNode names, String name) {
    for (JsonNode each : names) if (each.asText().equals(name)) return true;
    return false;
  }

  private Object alterConfigs(JsonNode arguments) throws Exception {
    Collection<AlterConfigOp> changes = new ArrayList<>();
    for (AlterConfigOp.OpType type : AlterConfigOp.OpType.values()) {
      JsonNode entries = arguments.get(type.name().toLowerCase());
      if (entries == null) continue;
      entries.fields().forEachRemaining(e -> changes.add(new AlterConfigOp(new ConfigEntry(e.getKey(), e.getValue().asText()), type)));
    }
    admin.incrementalAlterConfigs(Map.of(resource(arguments), changes)).all().get();
    return null;
  }

  private Object listOffset(JsonNode arguments) throws Exception {
    TopicPartition partition = partition(arguments);
    JsonNode at = arguments.get("at");
    OffsetSpec spec = at.isNumber() ? OffsetSpec.forTimestamp(at.asLong()) : switch (at.asText()) {
      case "earliest" -> OffsetSpec.earliest();
      case "latest" -> OffsetSpec.latest();
      case "max-timestamp" -> OffsetSpec.maxTimestamp();
      case "earliest-local" -> OffsetSpec.earliestLocal();
      case "latest-tiered" -> OffsetSpec.latestTiered();
      default -> throw new IllegalArgumentException(at.asText());
    };
    IsolationLevel isolation = arguments.path("committed").asBoolean() ? IsolationLevel.READ_COMMITTED : IsolationLevel.READ_UNCOMMITTED;
    ListOffsetsResultInfo found = admin(arguments).listOffsets(Map.of(partition, spec), new ListOffsetsOptions(isolation)).partitionResult(partition).get();
    return found.timestamp() >= 0 && found.timestamp() < Records.explicitTimestampMax
        ? Map.of("offset", found.offset(), "timestamp", found.timestamp())
        : Map.of("offset", found.offset());
  }

  private Object deleteRecords(JsonNode arguments) throws Exception {
    TopicPartition partition = partition(arguments);
    RecordsToDelete before = RecordsToDelete.beforeOffset(arguments.get("before").asLong());
    return Map.of("lowWatermark", admin(arguments).deleteRecords(Map.of(partition, before)).lowWatermarks().get(partition).get().lowWatermark());
  }

  private Object describeProducers(JsonNode arguments) throws Exception {
    List<ProducerState> found = admin(arguments).describeProducers(List.of(partition(arguments))).partitionResult(partition(arguments)).get().activeProducers();
    return found.stream()
        .map(each -> Map.of("lastSequence", each.lastSequence(), "openFrom", each.currentTransactionStartOffset().orElse(-1)))
        .sorted((a, b) -> a.toString().compareTo(b.toString()))
        .collect(Collectors.toList());
  }
}
