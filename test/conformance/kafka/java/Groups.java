import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Consumer groups by the admin client. */
final class Groups {
  private final Admin admin;

  Groups(String bootstrap) {
    admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", "10000", "request.timeout.ms", "10000"));
  }

  void addTo(Map<String, Client.Operation> operations) {
    operations.put("listGroups", arguments -> admin.listGroups().all().get().stream()
        .map(each -> each.groupId() + " " + each.type() + " " + each.protocol() + " " + each.groupState().map(Object::toString).orElse("?"))
        .sorted().toList());
    operations.put("describeGroup", this::describe);
    operations.put("deleteGroup", arguments -> admin.deleteConsumerGroups(List.of(group(arguments))).all().get());
    operations.put("groupOffsets", this::offsets);
    operations.put("resetOffsets", this::reset);
    operations.put("deleteOffsets", this::deleteOffsets);
    operations.put("removeMember", this::removeMember);
  }

  private static String group(JsonNode arguments) {
    return arguments.get("group").asText();
  }

  private Object describe(JsonNode arguments) throws Exception {
    ConsumerGroupDescription found = admin.describeConsumerGroups(List.of(group(arguments))).all().get().get(group(arguments));
    Map<String, Object> made = new LinkedHashMap<>();
    made.put("type", found.type().toString());
    made.put("state", found.groupState().toString());
    made.put("assignor", found.partitionAssignor());
    made.put("simple", found.isSimpleConsumerGroup());
    made.put("members", found.members().stream()
        .map(each -> each.groupInstanceId().orElse("-") + " " + each.host() + " " + each.assignment().topicPartitions().stream().map(Object::toString).sorted().toList())
        .sorted().toList());
    return made;
  }

  private Object offsets(JsonNode arguments) throws Exception {
    Map<String, Object> made = new TreeMap<>();
    Map<TopicPartition, OffsetAndMetadata> found = admin.listConsumerGroupOffsets(group(arguments)).partitionsToOffsetAndMetadata().get();
    found.forEach((partition, offset) -> made.put(
        partition.toString(), offset == null ? null : offset.metadata().isEmpty() ? offset.offset() : offset.offset() + " " + offset.metadata()));
    return made;
  }

  private Object reset(JsonNode arguments) throws Exception {
    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    for (JsonNode each : arguments.get("offsets")) {
      offsets.put(new TopicPartition(each.get(0).asText(), each.get(1).asInt()), new OffsetAndMetadata(each.get(2).asLong()));
    }
    admin.alterConsumerGroupOffsets(group(arguments), offsets).all().get();
    return null;
  }

  private Object deleteOffsets(JsonNode arguments) throws Exception {
    Set<TopicPartition> partitions = new HashSet<>();
    for (JsonNode each : arguments.get("partitions")) partitions.add(new TopicPartition(each.get(0).asText(), each.get(1).asInt()));
    var result = admin.deleteConsumerGroupOffsets(group(arguments), partitions);
    for (TopicPartition each : partitions) result.partitionResult(each).get();
    return null;
  }

  private Object removeMember(JsonNode arguments) throws Exception {
    List<MemberToRemove> members = new ArrayList<>();
    members.add(new MemberToRemove(arguments.get("instanceId").asText()));
    admin.removeMembersFromConsumerGroup(group(arguments), new RemoveMembersFromConsumerGroupOptions(members)).all().get();
    return null;
  }
}
