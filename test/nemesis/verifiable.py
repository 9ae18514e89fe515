"""Clients of librdkafka that write down what they do: the roles and lines of Verifiable.java, for producers and consumers."""

import json
import os
import random
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

BOOTSTRAP = sys.argv[1]
OUTSTANDING = 50
stopping = threading.Event()
saying = threading.Lock()


def say(*parts):
    """The line is with the system when this returns, so that a kill loses nothing of it."""
    with saying:
        os.write(1, (json.dumps(parts, separators=(",", ":")) + "\n").encode())


def microseconds():
    return time.monotonic_ns() // 1_000


class VerifiableProducer:
    def __init__(self, role):
        self.who = role["who"]
        self.mode = role["mode"]
        self.topic = role["topic"]
        self.partitions = role["partitions"]
        self.pause = role["pauseMs"] / 1_000
        self.filler = role["fillerBytesMax"]
        self.next = role["first"]
        self.next_transaction = role["first"]
        self.room = threading.Semaphore(OUTSTANDING)
        self.settings = {
            "bootstrap.servers": BOOTSTRAP,
            "acks": "all",
            "linger.ms": 2,
            "socket.timeout.ms": 5_000,
            "reconnect.backoff.max.ms": 500,
            "enable.idempotence": self.mode != "plain",
            "compression.type": role["compression"],
        }
        if self.mode == "plain":
            self.settings["max.in.flight"] = 1
        if self.mode == "transactional":
            self.settings.update({"transactional.id": self.who, "transaction.timeout.ms": 20_000})
        else:
            self.settings["message.timeout.ms"] = 60_000

    def run(self):
        if self.mode == "transactional":
            self.run_transactions()
        else:
            self.run_sends()

    def run_sends(self):
        producer = Producer(self.settings)
        while not stopping.is_set():
            while not self.room.acquire(blocking=False):
                producer.poll(0.05)
            self.send(producer, 0)
            producer.poll(self.pause)
        producer.flush(60)

    def run_transactions(self):
        producer = None
        while not stopping.is_set():
            try:
                if producer is None:
                    producer = Producer(self.settings)
                    producer.init_transactions(60)
                self.next_transaction += 1
                self.transact(producer, self.next_transaction)
                time.sleep(self.pause)
            except KafkaException as fatal:
                say("word", self.who, self.next_transaction, str(fatal))
                if producer is not None and not fatal.args[0].fatal():
                    producer.purge()
                producer = None
                time.sleep(0.1)

    def transact(self, producer, transaction):
        producer.begin_transaction()
        try:
            for _ in range(random.randint(1, 8)):
                self.send(producer, transaction)
                if random.randrange(4) == 0:
                    producer.poll(random.random() * 0.02)
            if random.randrange(4) == 0:
                self.abort(producer, transaction)
                return
            say("asked", self.who, transaction)
            self.again(lambda: producer.commit_transaction(30))
            say("committed", self.who, transaction)
        except KafkaException as failure:
            if not failure.args[0].txn_requires_abort():
                raise
            say("word", self.who, transaction, str(failure))
            self.abort(producer, transaction)

    def abort(self, producer, transaction):
        self.again(lambda: producer.abort_transaction(30))
        say("aborted", self.who, transaction)

    @staticmethod
    def again(work):
        """What had no answer in time must be asked again, and nothing else."""
        for attempt in range(3):
            try:
                return work()
            except KafkaException as failure:
                if not failure.args[0].retriable() or attempt == 2:
                    raise

    def send(self, producer, transaction):
        self.next += 1
        number = self.next
        partition = random.randrange(self.partitions)

        def told(failure, message):
            self.room.release()
            if failure is None:
                say("ack", self.who, number, partition, message.offset())
            else:
                say("failed", self.who, number, str(failure))

        say("send", self.who, number, transaction, partition)
        # Most are small, some large; no two keys are the same, so that compaction keeps them all.
        size = random.randrange(self.filler + 1 if random.randrange(8) == 0 else self.filler // 64 + 1)
        producer.produce(
            self.topic,
            f"{self.who} {number} {transaction}",
            f"{self.who} {number} ".encode() + random.randbytes(size),
            partition=partition,
            on_delivery=told,
        )


class VerifiableConsumer:
    def __init__(self, role):
        self.who = role["who"]
        self.group = role["group"]
        self.topic = role["topic"]
        settings = {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": self.group,
            "client.id": self.who,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "socket.timeout.ms": 5_000,
            "reconnect.backoff.max.ms": 500,
        }
        if "instanceId" in role:
            settings["group.instance.id"] = role["instanceId"]
        if role["protocol"] == "consumer":
            settings["group.protocol"] = "consumer"
        else:
            settings["session.timeout.ms"] = 6_000
            settings["heartbeat.interval.ms"] = 500
            settings["partition.assignment.strategy"] = role["assignor"]
        self.consumer = Consumer(settings)

    def run(self):
        self.consumer.subscribe([self.topic], on_assign=self.assigned, on_revoke=self.revoked)
        while not stopping.is_set():
            try:
                messages = self.received()
                if not messages:
                    continue
                by_partition = {}
                for each in messages:
                    by_partition.setdefault(each.partition(), []).append([each.offset(), each.value().decode()])
                for partition, told in by_partition.items():
                    say("read", self.who, self.group, partition, told)
                self.commit({partition: told[-1][0] + 1 for partition, told in by_partition.items()})
                time.sleep(0.05)
            except KafkaException as refused:
                say("word", self.who, str(refused))
        self.consumer.close()

    def received(self):
        messages = self.consumer.consume(200, 0.1)
        for each in messages:
            if each.error() is not None:
                say("word", self.who, str(each.error()))
        return [each for each in messages if each.error() is None]

    def commit(self, offsets):
        # What was taken away while it was on its way belongs to another member.
        mine = {each.partition for each in self.consumer.assignment()}
        places = [TopicPartition(self.topic, each, offset) for each, offset in offsets.items() if each in mine]
        if not places:
            return
        begin = microseconds()
        done = self.consumer.commit(offsets=places, asynchronous=False)
        end = microseconds()
        for each in done:
            if each.error is None:
                say("position", self.who, self.group, each.partition, each.offset, begin, end, "commit")
            else:
                say("word", self.who, str(each.error))

    def assigned(self, consumer, partitions):
        say("assigned", self.who, self.group, sorted(each.partition for each in partitions))
        if not partitions:
            return
        begin = microseconds()
        try:
            found = consumer.committed(partitions, timeout=5)
        except KafkaException as unanswered:
            say("word", self.who, str(unanswered))
            return
        end = microseconds()
        for each in found:
            if each.error is None:
                say("position", self.who, self.group, each.partition, max(each.offset, -1), begin, end, "seen")

    def revoked(self, _, partitions):
        say("revoked", self.who, self.group, sorted(each.partition for each in partitions))


def run(role):
    made = VerifiableProducer(role) if role["role"] == "producer" else VerifiableConsumer(role)
    try:
        made.run()
    except BaseException as ended:
        say("ended", role["who"], repr(ended))


def end_with_starter():
    for line in sys.stdin:
        if line.strip() == "stop":
            stopping.set()
    os._exit(0)


threading.Thread(target=end_with_starter, daemon=True).start()
running = [threading.Thread(target=run, args=(role,)) for role in json.loads(sys.argv[2])]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
os._exit(0)
