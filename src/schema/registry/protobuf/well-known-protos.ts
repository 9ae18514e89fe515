/**
 * Files that a schema may import without sending them: Google's well-known types, and those that Confluent's registry
 * brings. Written for their names, numbers and types; comments and language options are left out.
 */
import type { FileDraft } from "./proto-draft.ts";
import { readProto } from "./read-proto.ts";

const texts: Readonly<Record<string, string>> = {
  "google/protobuf/any.proto": `syntax = "proto3"; package google.protobuf;
    message Any { string type_url = 1; bytes value = 2; }`,
  "google/protobuf/duration.proto": `syntax = "proto3"; package google.protobuf;
    message Duration { int64 seconds = 1; int32 nanos = 2; }`,
  "google/protobuf/empty.proto": `syntax = "proto3"; package google.protobuf; message Empty {}`,
  "google/protobuf/field_mask.proto": `syntax = "proto3"; package google.protobuf;
    message FieldMask { repeated string paths = 1; }`,
  "google/protobuf/source_context.proto": `syntax = "proto3"; package google.protobuf;
    message SourceContext { string file_name = 1; }`,
  "google/protobuf/struct.proto": `syntax = "proto3"; package google.protobuf;
    message Struct { map<string, Value> fields = 1; }
    message Value { oneof kind { NullValue null_value = 1; double number_value = 2; string string_value = 3;
      bool bool_value = 4; Struct struct_value = 5; ListValue list_value = 6; } }
    enum NullValue { NULL_VALUE = 0; }
    message ListValue { repeated Value values = 1; }`,
  "google/protobuf/timestamp.proto": `syntax = "proto3"; package google.protobuf;
    message Timestamp { int64 seconds = 1; int32 nanos = 2; }`,
  "google/protobuf/wrappers.proto": `syntax = "proto3"; package google.protobuf;
    message DoubleValue { double value = 1; } message FloatValue { float value = 1; }
    message Int64Value { int64 value = 1; } message UInt64Value { uint64 value = 1; }
    message Int32Value { int32 value = 1; } message UInt32Value { uint32 value = 1; }
    message BoolValue { bool value = 1; } message StringValue { string value = 1; } message BytesValue { bytes value = 1; }`,
  "google/protobuf/descriptor.proto": `syntax = "proto2"; package google.protobuf;
    message FileDescriptorSet { repeated FileDescriptorProto file = 1; }
    message FileDescriptorProto { optional string name = 1; optional string package = 2; repeated string dependency = 3;
      repeated int32 public_dependency = 10; repeated int32 weak_dependency = 11;
      repeated DescriptorProto message_type = 4; repeated EnumDescriptorProto enum_type = 5;
      repeated ServiceDescriptorProto service = 6; repeated FieldDescriptorProto extension = 7;
      optional FileOptions options = 8; optional bytes source_code_info = 9; optional string syntax = 12;
      optional Edition edition = 14; }
    enum Edition { EDITION_UNKNOWN = 0; EDITION_PROTO2 = 998; EDITION_PROTO3 = 999; EDITION_2023 = 1000; EDITION_2024 = 1001; }
    message DescriptorProto { optional string name = 1; repeated FieldDescriptorProto field = 2;
      repeated FieldDescriptorProto extension = 6; repeated DescriptorProto nested_type = 3;
      repeated EnumDescriptorProto enum_type = 4;
      message ExtensionRange { optional int32 start = 1; optional int32 end = 2; optional bytes options = 3; }
      repeated ExtensionRange extension_range = 5; repeated OneofDescriptorProto oneof_decl = 8;
      optional MessageOptions options = 7;
      message ReservedRange { optional int32 start = 1; optional int32 end = 2; }
      repeated ReservedRange reserved_range = 9; repeated string reserved_name = 10; }
    message FieldDescriptorProto {
      enum Type { TYPE_DOUBLE = 1; TYPE_FLOAT = 2; TYPE_INT64 = 3; TYPE_UINT64 = 4; TYPE_INT32 = 5; TYPE_FIXED64 = 6;
        TYPE_FIXED32 = 7; TYPE_BOOL = 8; TYPE_STRING = 9; TYPE_GROUP = 10; TYPE_MESSAGE = 11; TYPE_BYTES = 12;
        TYPE_UINT32 = 13; TYPE_ENUM = 14; TYPE_SFIXED32 = 15; TYPE_SFIXED64 = 16; TYPE_SINT32 = 17; TYPE_SINT64 = 18; }
      enum Label { LABEL_OPTIONAL = 1; LABEL_REQUIRED = 2; LABEL_REPEATED = 3; }
      optional string name = 1; optional int32 number = 3; optional Label label = 4; optional Type type = 5;
      optional string type_name = 6; optional string extendee = 2; optional string default_value = 7;
      optional int32 oneof_index = 9; optional string json_name = 10; optional FieldOptions options = 8;
      optional bool proto3_optional = 17; }
    message OneofDescriptorProto { optional string name = 1; optional OneofOptions options = 2; }
    message EnumDescriptorProto { optional string name = 1; repeated EnumValueDescriptorProto value = 2;
      optional EnumOptions options = 3;
      message EnumReservedRange { optional int32 start = 1; optional int32 end = 2; }
      repeated EnumReservedRange reserved_range = 4; repeated string reserved_name = 5; }
    message EnumValueDescriptorProto { optional string name = 1; optional int32 number = 2; optional EnumValueOptions options = 3; }
    message ServiceDescriptorProto { optional string name = 1; repeated MethodDescriptorProto method = 2;
      optional ServiceOptions options = 3; }
    message MethodDescriptorProto { optional string name = 1; optional string input_type = 2; optional string output_type = 3;
      optional MethodOptions options = 4; optional bool client_streaming = 5; optional bool server_streaming = 6; }
    message FileOptions { optional string java_package = 1; optional string java_outer_classname = 8;
      optional bool java_multiple_files = 10; optional bool java_generate_equals_and_hash = 20;
      optional bool java_string_check_utf8 = 27;
      enum OptimizeMode { SPEED = 1; CODE_SIZE = 2; LITE_RUNTIME = 3; }
      optional OptimizeMode optimize_for = 9; optional string go_package = 11; optional bool cc_generic_services = 16;
      optional bool java_generic_services = 17; optional bool py_generic_services = 18; optional bool deprecated = 23;
      optional bool cc_enable_arenas = 31; optional string objc_class_prefix = 36; optional string csharp_namespace = 37;
      optional string swift_prefix = 39; optional string php_class_prefix = 40; optional string php_namespace = 41;
      optional string php_metadata_namespace = 44; optional string ruby_package = 45; optional FeatureSet features = 50;
      extensions 1000 to max; }
    message MessageOptions { optional bool message_set_wire_format = 1; optional bool no_standard_descriptor_accessor = 2;
      optional bool deprecated = 3; optional bool map_entry = 7; optional FeatureSet features = 12; extensions 1000 to max; }
    message FieldOptions { enum CType { STRING = 0; CORD = 1; STRING_PIECE = 2; }
      enum JSType { JS_NORMAL = 0; JS_STRING = 1; JS_NUMBER = 2; }
      optional CType ctype = 1; optional bool packed = 2; optional JSType jstype = 6; optional bool lazy = 5;
      optional bool unverified_lazy = 15; optional bool deprecated = 3; optional bool weak = 10;
      optional bool debug_redact = 16; optional FeatureSet features = 21; extensions 1000 to max; }
    message OneofOptions { optional FeatureSet features = 1; extensions 1000 to max; }
    message EnumOptions { optional bool allow_alias = 2; optional bool deprecated = 3; optional FeatureSet features = 7;
      extensions 1000 to max; }
    message EnumValueOptions { optional bool deprecated = 1; optional FeatureSet features = 2; extensions 1000 to max; }
    message ServiceOptions { optional bool deprecated = 33; optional FeatureSet features = 34; extensions 1000 to max; }
    message MethodOptions { enum IdempotencyLevel { IDEMPOTENCY_UNKNOWN = 0; NO_SIDE_EFFECTS = 1; IDEMPOTENT = 2; }
      optional bool deprecated = 33; optional IdempotencyLevel idempotency_level = 34; optional FeatureSet features = 35;
      extensions 1000 to max; }
    message FeatureSet {
      enum FieldPresence { FIELD_PRESENCE_UNKNOWN = 0; EXPLICIT = 1; IMPLICIT = 2; LEGACY_REQUIRED = 3; }
      enum EnumType { ENUM_TYPE_UNKNOWN = 0; OPEN = 1; CLOSED = 2; }
      enum RepeatedFieldEncoding { REPEATED_FIELD_ENCODING_UNKNOWN = 0; PACKED = 1; EXPANDED = 2; }
      enum Utf8Validation { UTF8_VALIDATION_UNKNOWN = 0; VERIFY = 2; NONE = 3; }
      enum MessageEncoding { MESSAGE_ENCODING_UNKNOWN = 0; LENGTH_PREFIXED = 1; DELIMITED = 2; }
      enum JsonFormat { JSON_FORMAT_UNKNOWN = 0; ALLOW = 1; LEGACY_BEST_EFFORT = 2; }
      optional FieldPresence field_presence = 1; optional EnumType enum_type = 2;
      optional RepeatedFieldEncoding repeated_field_encoding = 3; optional Utf8Validation utf8_validation = 4;
      optional MessageEncoding message_encoding = 5; optional JsonFormat json_format = 6; extensions 1000 to max; }`,
  "confluent/meta.proto": `syntax = "proto3"; package confluent; import "google/protobuf/descriptor.proto";
    message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
    extend google.protobuf.FileOptions { Meta file_meta = 1088; }
    extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
    extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
    extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
    extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }`,
  "confluent/type/decimal.proto": `syntax = "proto3"; package confluent.type;
    message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }`,
  "google/type/date.proto": `syntax = "proto3"; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }`,
  "google/type/timeofday.proto": `syntax = "proto3"; package google.type;
    message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }`,
  "google/type/latlng.proto": `syntax = "proto3"; package google.type; message LatLng { double latitude = 1; double longitude = 2; }`,
  "google/type/money.proto": `syntax = "proto3"; package google.type;
    message Money { string currency_code = 1; int64 units = 2; int32 nanos = 3; }`,
  "google/type/dayofweek.proto": `syntax = "proto3"; package google.type;
    enum DayOfWeek { DAY_OF_WEEK_UNSPECIFIED = 0; MONDAY = 1; TUESDAY = 2; WEDNESDAY = 3; THURSDAY = 4; FRIDAY = 5;
      SATURDAY = 6; SUNDAY = 7; }`,
};

const read = new Map<string, FileDraft>();

/** Undefined for a path that is not one of them. */
export function wellKnownProto(path: string): FileDraft | undefined {
  if (!Object.hasOwn(texts, path)) return undefined;
  let draft = read.get(path);
  if (draft === undefined) {
    draft = readProto(texts[path] as string, path);
    read.set(path, draft);
  }
  return draft;
}
