"""confluent-kafka's serializers against a registry: writes one order of each type, and reads what topics hold.

serializers.py <bootstrap> <registry> <user:password or -> write|read|registry
"""

import json
import sys

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

BOOTSTRAP, REGISTRY, LOGIN, COMMAND = sys.argv[1:5]
CLIENT = SchemaRegistryClient({"url": REGISTRY, **({} if LOGIN == "-" else {"basic.auth.user.info": LOGIN})})

AVRO = json.dumps(
    {
        "type": "record",
        "name": "Order",
        "namespace": "shop",
        "fields": [{"name": "id", "type": "string"}, {"name": "total", "type": "double"}],
    }
)
JSON = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Order",
        "type": "object",
        "properties": {"id": {"type": "string"}, "total": {"type": "number"}},
        "required": ["id", "total"],
        "additionalProperties": False,
    }
)


def order_class():
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    message = file.message_type.add(name="Order")
    field = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="id", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    message.field.add(name="total", number=2, type=field.TYPE_DOUBLE, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


ORDER = order_class()


def writers():
    # The schemas of the topics' definitions are what these classes describe: nothing new is registered.
    return {
        "orders-avro": (AvroSerializer(CLIENT, AVRO), lambda order: order),
        "orders-json": (JSONSerializer(JSON, CLIENT), lambda order: order),
        "orders-protobuf": (ProtobufSerializer(ORDER, CLIENT), lambda order: ORDER(**order)),
    }


def readers():
    return {
        "orders-avro": (AvroDeserializer(CLIENT), lambda order: order),
        "orders-json": (JSONDeserializer(None, schema_registry_client=CLIENT), lambda order: order),
        "orders-protobuf": (
            ProtobufDeserializer(ORDER, schema_registry_client=CLIENT),
            lambda order: {"id": order.id, "total": order.total},
        ),
    }


def write():
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    outcomes = {}

    def told(error, message):
        outcomes[message.topic()] = "written" if error is None else error.name()

    for topic, (serializer, to) in writers().items():
        value = serializer(to({"id": "python", "total": 2.5}), SerializationContext(topic, MessageField.VALUE))
        producer.produce(topic, value=value, on_delivery=told)
    producer.flush(20)
    print(json.dumps(outcomes))
    outcomes.clear()
    for topic in writers():
        producer.produce(topic, value=b"\0\0\0\0\x01\xff", on_delivery=told)
    producer.flush(20)
    print(json.dumps(outcomes))


def read():
    found = {}
    for topic, (deserializer, to) in readers().items():
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": f"read-{topic}", "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        values = []
        while len(values) < 2:
            message = consumer.poll(20)
            if message is None:
                break
            if message.error() is None:
                context = SerializationContext(topic, MessageField.VALUE)
                values.append(to(deserializer(message.value(), context)))
        consumer.close()
        found[topic] = values
    print(json.dumps(found))


def refusal(work):
    try:
        return work()
    except SchemaRegistryError as error:
        return [error.http_status_code, error.error_code]


def registry():
    subject = "of python/value"
    schema = Schema(AVRO, "AVRO")
    other = Schema(json.dumps({**json.loads(AVRO), "fields": [{"name": "more", "type": "string"}]}), "AVRO")
    answers = {
        "id": CLIENT.register_schema(subject, schema) == CLIENT.register_schema(subject, schema),
        "lookup": CLIENT.lookup_schema(subject, schema).version,
        "latest": CLIENT.get_latest_version(subject).version,
        "versions": CLIENT.get_versions(subject),
        "subjects": subject in CLIENT.get_subjects(),
        "compatible": [CLIENT.test_compatibility(subject, one) for one in (schema, other)],
        "incompatible": refusal(lambda: CLIENT.register_schema(subject, other)),
        "unknown": refusal(lambda: CLIENT.get_latest_version("nobody")),
        "set": CLIENT.set_compatibility(subject, "FULL"),
        "get": CLIENT.get_compatibility(subject),
        "types": sorted(CLIENT.get_schema_types()),
        "delete": CLIENT.delete_subject(subject),
        "permanent": CLIENT.delete_subject(subject, permanent=True),
    }
    print(json.dumps(answers))


{"write": write, "read": read, "registry": registry}[COMMAND]()
