"""confluent-kafka (librdkafka) behind one line of JSON for each command, and one for each answer. Ends with its input."""

import json
import queue
import sys
import threading
import time

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    ElectionType,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

BOOTSTRAP = sys.argv[1]
PATIENCE_SECONDS = 15
# Later timestamps are a clock's, and not told.
EXPLICIT_TIMESTAMP_MAX = 1_500_000_000_000
OPERATIONS = {}
ASSIGNORS = {"range": "range", "roundrobin": "roundrobin", "cooperative": "cooperative-sticky"}


class Unsupported(Exception):
    pass


class NoSuchTopic(Exception):
    pass


def operation(function):
    parts = function.__name__.split("_")
    OPERATIONS[parts[0] + "".join(part.title() for part in parts[1:])] = function
    return function


def timeout_of(arguments):
    return 1.5 if arguments.get("impatient") else 10


def partition_of(arguments, offset=-1001):
    return TopicPartition(arguments["topic"], arguments["partition"], offset)


def text(data):
    if data is None:
        return None
    return f"{len(data)} bytes" if len(data) > 200 else data.decode()


def encoded(value):
    return None if value is None else value.encode()


# Topics.

admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


@operation
def create_topic(arguments):
    topic = NewTopic(
        arguments["topic"],
        num_partitions=arguments.get("partitions", -1),
        replication_factor=arguments.get("replicationFactor", -1),
        config=arguments.get("configs", {}),
    )
    futures = admin.create_topics([topic], validate_only=arguments.get("validateOnly", False))
    return futures[arguments["topic"]].result()


@operation
def list_topics(arguments):
    return sorted(name for name in admin.list_topics(timeout=10).topics if not name.startswith(("__", "_millrace.")))


@operation
def describe_topic(arguments):
    name = arguments["topic"]
    found = admin.describe_topics(TopicCollection([name]))[name].result()
    return {
        "internal": found.is_internal,
        "identified": found.topic_id is not None,
        "partitions": [
            {"partition": each.id, "led": each.leader is not None, "replicas": len(each.replicas), "inSync": len(each.isr)}
            for each in found.partitions
        ],
    }


@operation
def delete_topic(arguments):
    return admin.delete_topics([arguments["topic"]])[arguments["topic"]].result()


@operation
def add_partitions(arguments):
    return admin.create_partitions([NewPartitions(arguments["topic"], arguments["count"])])[arguments["topic"]].result()


def resource_of(arguments, changes=None):
    if "broker" in arguments:
        return ConfigResource(ResourceType.BROKER, arguments["broker"], incremental_configs=changes)
    return ConfigResource(ResourceType.TOPIC, arguments["topic"], incremental_configs=changes)


@operation
def describe_configs(arguments):
    resource = resource_of(arguments)
    found = admin.describe_configs([resource])[resource].result()
    return {
        name: f"{entry.value} ({ConfigSource(entry.source).name}"
        + (", read only" if entry.is_read_only else "")
        + (", sensitive" if entry.is_sensitive else "")
        + ")"
        for name, entry in sorted(found.items())
        if "names" not in arguments or name in arguments["names"]
    }


@operation
def alter_configs(arguments):
    changes = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType[kind.upper()])
        for kind in ("set", "delete", "append", "subtract")
        for name, value in arguments.get(kind, {}).items()
    ]
    resource = resource_of(arguments, changes)
    return admin.incremental_alter_configs([resource])[resource].result()


@operation
def list_offset(arguments):
    at = arguments["at"]
    if isinstance(at, int):
        spec = OffsetSpec.for_timestamp(at)
    elif at == "earliest":
        spec = OffsetSpec.earliest()
    elif at == "latest":
        spec = OffsetSpec.latest()
    elif at == "max-timestamp":
        spec = OffsetSpec.max_timestamp()
    else:
        raise Unsupported(at)
    isolation = IsolationLevel.READ_COMMITTED if arguments.get("committed") else IsolationLevel.READ_UNCOMMITTED
    place = partition_of(arguments)
    found = admin.list_offsets({place: spec}, isolation_level=isolation, request_timeout=timeout_of(arguments))[place].result()
    if 0 <= found.timestamp < EXPLICIT_TIMESTAMP_MAX:
        return {"offset": found.offset, "timestamp": found.timestamp}
    return {"offset": found.offset}


@operation
def delete_records(arguments):
    place = partition_of(arguments, arguments["before"])
    return {"lowWatermark": admin.delete_records([place], request_timeout=timeout_of(arguments))[place].result().low_watermark}


# Producers.

producers = {}


def open_producer(settings, arguments):
    made = {
        "bootstrap.servers": BOOTSTRAP,
        "message.timeout.ms": 10_000,
        "transaction.timeout.ms": 60_000,
        **settings,
        # A setting of another client is none of this one.
        **{name: value for name, value in arguments.get("settings", {}).items() if name.startswith("message.")},
    }
    if "compression" in arguments:
        made["compression.type"] = arguments["compression"]
    if "acks" in arguments:
        made["acks"] = arguments["acks"]
    if arguments.get("idempotent"):
        made["enable.idempotence"] = True
    if "transactional.id" not in made:
        del made["transaction.timeout.ms"]
    return Producer(made)


def send(producer, arguments):
    results = [None] * len(arguments["records"])
    errors = []

    def delivered(index):
        def note(error, message):
            if error is not None:
                errors.append(error)
                results[index] = error.name()
            else:
                results[index] = f"{message.partition()}@{'?' if message.offset() < 0 else message.offset()}"

        return note

    for index, record in enumerate(arguments["records"]):
        more = {name: record[name] for name in ("partition", "timestamp") if name in record}
        if "headers" in record:
            more["headers"] = [(name, encoded(value)) for name, value in record["headers"]]
        value = b"x" * record["valueBytes"] if "valueBytes" in record else encoded(record.get("value"))
        producer.produce(
            arguments["topic"], key=encoded(record.get("key")), value=value, on_delivery=delivered(index), **more
        )
    producer.flush()
    if errors and len(results) == 1:
        raise KafkaException(errors[0])
    return results


@operation
def produce(arguments):
    try:
        return send(open_producer({}, arguments), arguments)
    except KafkaException as error:
        # Which of the two it is depends on when librdkafka looks at what the broker has said of the topic.
        if error.args[0].name() in ("_UNKNOWN_TOPIC", "TOPIC_EXCEPTION"):
            raise NoSuchTopic from error
        raise


@operation
def transaction_open(arguments):
    settings = {"transactional.id": arguments["transactionalId"]}
    if "timeoutMs" in arguments:
        settings["transaction.timeout.ms"] = arguments["timeoutMs"]
    producer = open_producer(settings, arguments)
    producers[arguments["name"]] = producer
    producer.init_transactions(10)


@operation
def transaction_begin(arguments):
    producers[arguments["name"]].begin_transaction()


@operation
def transaction_send(arguments):
    return send(producers[arguments["name"]], arguments)


@operation
def transaction_offsets(arguments):
    offsets = [TopicPartition(topic, partition, offset) for topic, partition, offset in arguments["offsets"]]
    if "consumer" in arguments:
        member = members[arguments["consumer"]]
        metadata = member.on_thread(member.consumer.consumer_group_metadata)
    else:
        metadata = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": arguments["group"]}).consumer_group_metadata()
    producers[arguments["name"]].send_offsets_to_transaction(offsets, metadata, 10)


@operation
def transaction_commit(arguments):
    producers[arguments["name"]].commit_transaction(10)


@operation
def transaction_abort(arguments):
    producers[arguments["name"]].abort_transaction(10)


@operation
def transaction_close(arguments):
    del producers[arguments["name"]]


# Consumers.

members = {}


def open_consumer(arguments, more):
    settings = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": arguments.get("group", "nobody"),
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 100,
        "auto.offset.reset": {"none": "error"}.get(arguments.get("reset"), arguments.get("reset", "earliest")),
        "isolation.level": "read_committed" if arguments.get("committed") else "read_uncommitted",
        **more,
    }
    if arguments.get("protocol") == "consumer":
        settings["group.protocol"] = "consumer"
    else:
        settings.update({"session.timeout.ms": 6000, "heartbeat.interval.ms": 200})
    if "instanceId" in arguments:
        settings["group.instance.id"] = arguments["instanceId"]
    if "assignor" in arguments:
        settings["partition.assignment.strategy"] = ASSIGNORS[arguments["assignor"]]
    return Consumer(settings)


def told(message):
    record = {
        "at": f"{message.topic()}-{message.partition()}@{message.offset()}",
        "key": text(message.key()),
        "value": text(message.value()),
    }
    if message.headers():
        record["headers"] = [[name, text(value)] for name, value in message.headers()]
    kind, timestamp = message.timestamp()
    if timestamp < EXPLICIT_TIMESTAMP_MAX:
        record["timestamp"] = timestamp
    record["timestampType"] = {1: "CreateTime", 2: "LogAppendTime"}.get(kind, "none")
    return record


def told_all(messages):
    return [told(each) for each in sorted(messages, key=lambda each: (each.topic(), each.partition(), each.offset()))]


class Member:
    """A consumer that polls on a thread of its own, and what it has got."""

    def __init__(self, arguments):
        self.consumer = open_consumer(arguments, {})
        self.changed = threading.Condition()
        self.waiting = []
        self.taken = {}
        self.assignment = []
        self.failure = None
        self.closing = False
        self.tasks = queue.Queue()
        self.consumer.subscribe(arguments["topics"] if "topics" in arguments else [arguments["pattern"]])
        self.thread = threading.Thread(target=self.poll, daemon=True)
        self.thread.start()

    def poll(self):
        while not self.closing:
            while not self.tasks.empty():
                self.tasks.get()()
            message = self.consumer.poll(0.02)
            with self.changed:
                if message is not None and message.error() is not None:
                    if message.error().fatal() or not message.error().retriable():
                        self.failure = message.error()
                elif message is not None:
                    self.waiting.append(message)
                self.assignment = sorted(f"{each.topic}-{each.partition}" for each in self.consumer.assignment())
                self.changed.notify_all()

    def wait(self, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self.changed:
            while not condition():
                if self.failure is not None:
                    raise KafkaException(self.failure)
                if not self.changed.wait(deadline - time.monotonic()) and time.monotonic() > deadline:
                    return False
        return True

    def on_thread(self, work):
        result = queue.Queue()

        def task():
            try:
                result.put((work(), None))
            except Exception as error:
                result.put((None, error))

        self.tasks.put(task)
        value, error = result.get(timeout=PATIENCE_SECONDS)
        if error is not None:
            raise error
        return value

    def take(self, count):
        enough = self.wait(lambda: len(self.waiting) >= count)
        with self.changed:
            got, self.waiting = self.waiting[:count], self.waiting[count:]
            for each in got:
                place = (each.topic(), each.partition())
                self.taken[place] = max(self.taken.get(place, 0), each.offset() + 1)
        return told_all(got) if enough else {"short": told_all(got)}


@operation
def consumer_open(arguments):
    members[arguments["name"]] = Member(arguments)


@operation
def consumer_take(arguments):
    return members[arguments["name"]].take(arguments["count"])


@operation
def consumer_assigned(arguments):
    member = members[arguments["name"]]
    there = member.wait(lambda: len(member.assignment) == arguments["count"])
    return member.assignment if there else {"other": member.assignment}


@operation
def consumer_commit(arguments):
    member = members[arguments["name"]]
    offsets = [
        TopicPartition(topic, partition, offset, metadata=arguments.get("metadata", ""))
        for (topic, partition), offset in member.taken.items()
    ]
    member.on_thread(lambda: check(member.consumer.commit(offsets=offsets, asynchronous=False)))


def check(partitions):
    for each in partitions:
        if each.error is not None:
            raise KafkaException(each.error)
    return partitions


@operation
def consumer_committed(arguments):
    member = members[arguments["name"]]
    [found] = member.on_thread(lambda: check(member.consumer.committed([partition_of(arguments)], 10)))
    return None if found.offset < 0 else {"offset": found.offset, "metadata": found.metadata or ""}


@operation
def consumer_seek(arguments):
    member = members[arguments["name"]]

    def seek():
        member.consumer.seek(partition_of(arguments, arguments["offset"]))
        with member.changed:
            place = (arguments["topic"], arguments["partition"])
            member.waiting = [each for each in member.waiting if (each.topic(), each.partition()) != place]

    member.on_thread(seek)


@operation
def consumer_at_end(arguments):
    member = members[arguments["name"]]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        # The position is known when the first fetch has been answered.
        high = member.on_thread(lambda: member.consumer.get_watermark_offsets(partition_of(arguments), cached=True))[1]
        if high >= 0:
            return True
        time.sleep(0.02)
    return False


@operation
def consumer_failure(arguments):
    member = members[arguments["name"]]
    try:
        member.wait(lambda: False)
        return None
    except KafkaException as error:
        return error.args[0].name()


@operation
def consumer_close(arguments):
    member = members.pop(arguments["name"])
    member.closing = True
    member.thread.join()
    member.consumer.close()


@operation
def offset_for_time(arguments):
    consumer = open_consumer(arguments, {})
    [found] = check(consumer.offsets_for_times([partition_of(arguments, arguments["timestamp"])], 10))
    consumer.close()
    return found.offset if found.offset >= 0 else None


@operation
def commit_alone(arguments):
    consumer = open_consumer(arguments, {})
    place = TopicPartition(
        arguments["topic"], arguments["partition"], arguments["offset"], metadata=arguments.get("metadata", "")
    )
    try:
        check(consumer.commit(offsets=[place], asynchronous=False))
    finally:
        consumer.close()


@operation
def read(arguments):
    consumer = open_consumer(arguments, {"enable.partition.eof": True})
    topic = arguments["topic"]
    if "partition" in arguments:
        partitions = [arguments["partition"]]
    else:
        partitions = list(consumer.list_topics(topic, 10).topics[topic].partitions)
    start = arguments.get("from", -2)
    consumer.assign([TopicPartition(topic, partition, start) for partition in partitions])
    left = set(partitions)
    found = []
    deadline = time.monotonic() + 10
    try:
        while left:
            if time.monotonic() > deadline:
                return {"short": told_all(found)}
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error() is None:
                found.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            elif not message.error().retriable():
                raise KafkaException(message.error())
        return told_all(found)
    finally:
        consumer.close()


# Groups.


@operation
def list_groups(arguments):
    found = admin.list_consumer_groups(request_timeout=10).result()
    return sorted(f"{each.group_id} {each.type.name} {each.state.name} {each.is_simple_consumer_group}" for each in found.valid)


@operation
def describe_group(arguments):
    found = admin.describe_consumer_groups([arguments["group"]])[arguments["group"]].result()
    return {
        "type": found.type.name,
        "state": found.state.name.title(),
        "assignor": found.partition_assignor,
        "simple": found.is_simple_consumer_group,
        "members": sorted(
            f"{each.group_instance_id or '-'} {each.host} "
            + str(sorted(f"{place.topic}-{place.partition}" for place in each.assignment.topic_partitions))
            for each in found.members
        ),
    }


@operation
def delete_group(arguments):
    return admin.delete_consumer_groups([arguments["group"]])[arguments["group"]].result()


@operation
def group_offsets(arguments):
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(arguments["group"])])
    places = check(found[arguments["group"]].result().topic_partitions)
    return {
        f"{each.topic}-{each.partition}": f"{each.offset} {each.metadata}" if each.metadata else each.offset
        for each in sorted(places, key=lambda each: (each.topic, each.partition))
    }


@operation
def reset_offsets(arguments):
    places = [TopicPartition(topic, partition, offset) for topic, partition, offset in arguments["offsets"]]
    asked = [ConsumerGroupTopicPartitions(arguments["group"], places)]
    check(admin.alter_consumer_group_offsets(asked)[arguments["group"]].result().topic_partitions)


# The cluster.


@operation
def describe_cluster(arguments):
    found = admin.describe_cluster(request_timeout=10).result()
    return {"nodes": len(found.nodes), "controlled": found.controller is not None, "named": bool(found.cluster_id)}


@operation
def describe_acls(arguments):
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    return len(admin.describe_acls(everything, request_timeout=10).result())


@operation
def describe_scram_users(arguments):
    return sorted(admin.describe_user_scram_credentials(request_timeout=10).result())


@operation
def elect_leaders(arguments):
    place = partition_of(arguments)
    [error] = admin.elect_leaders(ElectionType.PREFERRED, [place]).result().values()
    return "elected" if error is None else error.name()


def name_of(error):
    if isinstance(error, Unsupported):
        return "UNSUPPORTED"
    if isinstance(error, KafkaException):
        return error.args[0].name()
    return type(error).__name__


def answer(command, lock):
    made = {"id": command["id"]}
    try:
        if command["op"] not in OPERATIONS:
            raise Unsupported(command["op"])
        made["ok"] = OPERATIONS[command["op"]](command["arguments"])
    except Exception as error:
        made["error"] = name_of(error)
        made["message"] = str(error)
    with lock:
        print(json.dumps(made), flush=True)


def main():
    lock = threading.Lock()
    for line in sys.stdin:
        threading.Thread(target=answer, args=(json.loads(line), lock), daemon=True).start()


main()
