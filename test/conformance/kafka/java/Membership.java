import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Supplier;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** A consumer that polls on a thread of its own, where everything else is done too; and what it has got. */
final class Membership {
  private static final long patienceNanos = 15_000_000_000L;
  private final KafkaConsumer<byte[], byte[]> consumer;
  private final ConcurrentLinkedQueue<Runnable> tasks = new ConcurrentLinkedQueue<>();
  private final List<ConsumerRecord<byte[], byte[]>> waiting = new ArrayList<>();
  private final Map<TopicPartition, Long> taken = new HashMap<>();
  private final Thread thread;
  private List<String> assignment = List.of();
  private Throwable failure;
  private boolean closing;

  Membership(KafkaConsumer<byte[], byte[]> consumer) {
    this.consumer = consumer;
    thread = new Thread(this::poll, "consumer");
    thread.setDaemon(true);
    thread.start();
  }

  private void poll() {
    while (!closing) {
      for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) task.run();
      if (closing) break;
      try {
        var records = consumer.poll(Duration.ofMillis(20));
        List<String> now = consumer.assignment().stream().map(TopicPartition::toString).sorted().toList();
        synchronized (this) {
          records.forEach(waiting::add);
          assignment = now;
          notifyAll();
        }
      } catch (Throwable thrown) {
        synchronized (this) {
          failure = thrown;
          notifyAll();
        }
        // Nothing comes any more, but tasks are still done.
        try {
          Thread.sleep(20);
        } catch (InterruptedException stopped) {
          return;
        }
      }
    }
  }

  private <T> T onThread(Callable<T> work) throws Exception {
    CompletableFuture<T> result = new CompletableFuture<>();
    tasks.add(() -> {
      try {
        result.complete(work.call());
      } catch (Throwable thrown) {
        result.completeExceptionally(thrown);
      }
    });
    return result.get();
  }

  private synchronized boolean await(Supplier<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + patienceNanos;
    while (!condition.get()) {
      if (failure != null) throw new Exception(failure.getMessage(), failure) { };
      long left = (deadline - System.nanoTime()) / 1_000_000;
      if (left <= 0) return false;
      wait(left);
    }
    return true;
  }

  private Throwable failed() {
    return failure;
  }

  Object take(int count) throws Exception {
    boolean enough = awaitOrFail(() -> waiting.size() >= count);
    List<ConsumerRecord<byte[], byte[]>> got;
    synchronized (this) {
      got = new ArrayList<>(waiting.subList(0, Math.min(count, waiting.size())));
      waiting.subList(0, got.size()).clear();
      for (var each : got) taken.merge(new TopicPartition(each.topic(), each.partition()), each.offset() + 1, Math::max);
    }
    return enough ? Records.toJson(got) : Map.of("short", Records.toJson(got));
  }

  Object assigned(int count) throws Exception {
    boolean there = awaitOrFail(() -> assignment.size() == count);
    return there ? assignment : Map.of("other", assignment);
  }

  private boolean awaitOrFail(Supplier<Boolean> condition) throws Exception {
    try {
      return await(condition);
    } catch (Exception wrapped) {
      if (wrapped.getCause() == failed() && failed() instanceof Exception cause) throw cause;
      throw wrapped;
    }
  }

  Object commit(String metadata) throws Exception {
    return onThread(() -> {
      Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
      synchronized (this) {
        taken.forEach((partition, offset) -> offsets.put(partition, new OffsetAndMetadata(offset, metadata)));
      }
      consumer.commitSync(offsets);
      return null;
    });
  }

  Object committed(TopicPartition partition) throws Exception {
    return onThread(() -> {
      OffsetAndMetadata found = consumer.committed(java.util.Set.of(partition)).get(partition);
      return found == null ? null : Map.of("offset", found.offset(), "metadata", found.metadata());
    });
  }

  Object seek(TopicPartition partition, long offset) throws Exception {
    return onThread(() -> {
      consumer.seek(partition, offset);
      synchronized (this) {
        waiting.removeIf(each -> each.topic().equals(partition.topic()) && each.partition() == partition.partition());
      }
      return null;
    });
  }

  /** Waits until its next record is the first one that is not there yet. */
  Object atEnd(TopicPartition partition) throws Exception {
    return onThread(() -> consumer.position(partition) == consumer.endOffsets(java.util.Set.of(partition)).get(partition));
  }

  /** What ended it; null when nothing does. */
  Object failure() throws Exception {
    try {
      await(() -> false);
      return null;
    } catch (Exception wrapped) {
      return Client.nameOf(Client.rootOf(failure));
    }
  }

  ConsumerGroupMetadata groupMetadata() {
    try {
      return onThread(consumer::groupMetadata);
    } catch (Exception impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  Object close() throws Exception {
    onThread(() -> {
      closing = true;
      consumer.close();
      return null;
    });
    return null;
  }
}
