import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.quota.ClientQuotaFilter;

/** The cluster as a whole, and its transactions, by the admin client. */
final class Cluster {
  private final Admin admin;

  Cluster(String bootstrap) {
    admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", "10000", "request.timeout.ms", "10000"));
  }

  void addTo(Map<String, Client.Operation> operations) {
    operations.put("describeCluster", this::describe);
    operations.put("describeFeatures", this::features);
    operations.put("describeTransaction", this::describeTransaction);
    operations.put("listTransactions", arguments -> admin.listTransactions().all().get().stream()
        .map(each -> each.transactionalId() + " " + each.state()).sorted().toList());
    operations.put("fenceProducers", arguments -> admin.fenceProducers(List.of(arguments.get("transactionalId").asText())).all().get());
    operations.put("abortHanging", this::abortHanging);
    operations.put("describeAcls", arguments -> admin.describeAcls(AclBindingFilter.ANY).values().get().size());
    operations.put("describeQuotas", arguments -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().size());
    operations.put("describeScramUsers", arguments -> admin.describeUserScramCredentials().all().get().keySet().stream().sorted().toList());
    operations.put("describeLogDirs", this::logDirs);
    operations.put("electLeaders", arguments -> admin.electLeaders(ElectionType.PREFERRED, Set.of(partition(arguments))).partitions().get()
        .get(partition(arguments)).map(Client::nameOf).orElse("elected"));
    operations.put("listReassignments", arguments -> admin.listPartitionReassignments().reassignments().get().size());
  }

  private static TopicPartition partition(JsonNode arguments) {
    return new TopicPartition(arguments.get("topic").asText(), arguments.get("partition").asInt());
  }

  private Object describe(JsonNode arguments) throws Exception {
    var found = admin.describeCluster();
    return Map.of("nodes", found.nodes().get().size(), "controlled", found.controller().get() != null, "named", !found.clusterId().get().isEmpty());
  }

  private Object features(JsonNode arguments) throws Exception {
    Map<String, Object> made = new TreeMap<>();
    admin.describeFeatures().featureMetadata().get().finalizedFeatures().forEach((name, range) -> made.put(name, range.maxVersionLevel()));
    return made;
  }

  private Object describeTransaction(JsonNode arguments) throws Exception {
    TransactionDescription found = admin.describeTransactions(List.of(arguments.get("transactionalId").asText())).description(arguments.get("transactionalId").asText()).get();
    return Map.of(
        "state", found.state().toString(),
        "timeoutMs", found.transactionTimeoutMs(),
        "started", found.transactionStartTimeMs().isPresent(),
        "partitions", found.topicPartitions().stream().map(TopicPartition::toString).sorted().toList());
  }

  private Object abortHanging(JsonNode arguments) throws Exception {
    ProducerState state = admin.describeProducers(List.of(partition(arguments))).partitionResult(partition(arguments)).get().activeProducers().get(0);
    admin.abortTransaction(new AbortTransactionSpec(partition(arguments), state.producerId(), (short) state.producerEpoch(), state.coordinatorEpoch().orElse(0))).all().get();
    return null;
  }

  private Object logDirs(JsonNode arguments) throws Exception {
    int node = admin.describeCluster().nodes().get().iterator().next().id();
    String topic = arguments.get("topic").asText();
    Map<String, Object> made = new TreeMap<>();
    admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values().forEach(dir -> dir.replicaInfos().forEach((partition, info) -> {
      if (partition.topic().equals(topic)) made.put(partition.toString(), Map.of("filled", info.size() > 0, "lag", info.offsetLag(), "future", info.isFuture()));
    }));
    return made;
  }
}
