import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;

/** Asks, again and again, where groups are. */
final class VerifiableObserver implements Verifiable.Role {
  private final List<String> groups = new ArrayList<>();
  private final String topic;
  private final Admin admin;

  VerifiableObserver(String bootstrap, JsonNode role) {
    role.get("groups").forEach(each -> groups.add(each.asText()));
    topic = role.get("topic").asText();
    admin = Admin.create(Map.of(
        "bootstrap.servers", bootstrap,
        "request.timeout.ms", "2000",
        "default.api.timeout.ms", "5000",
        "reconnect.backoff.max.ms", "500"));
  }

  @Override
  public void run() throws InterruptedException {
    while (!Verifiable.stopping) {
      for (String group : groups) {
        long from = Verifiable.microseconds();
        try {
          var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
          long to = Verifiable.microseconds();
          found.forEach((partition, place) -> {
            if (!partition.topic().equals(topic)) return;
            Verifiable.say("position", "observer", group, partition.partition(), place == null ? -1 : place.offset(), from, to, "seen");
          });
        } catch (ExecutionException unanswered) {
          Verifiable.say("word", "observer", unanswered.getCause().toString());
        }
      }
      Verifiable.pause(250);
    }
  }
}
