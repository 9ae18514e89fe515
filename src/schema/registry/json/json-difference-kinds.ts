/** Differences of JSON Schemas: the kinds that a reader can live with, and sentences for those that it cannot. Names are Confluent's. */

export interface JsonDifference {
  readonly kind: string;
  /** `properties/x/maxLength`, from the pair on; empty for the pair itself. */
  readonly path: string;
}

export const compatibleKinds: ReadonlySet<string> = new Set(
  `ID_CHANGED DESCRIPTION_CHANGED TITLE_CHANGED DEFAULT_CHANGED SCHEMA_REMOVED TYPE_EXTENDED
  MAX_LENGTH_INCREASED MAX_LENGTH_REMOVED MIN_LENGTH_DECREASED MIN_LENGTH_REMOVED PATTERN_REMOVED
  MAXIMUM_INCREASED MAXIMUM_REMOVED MINIMUM_DECREASED MINIMUM_REMOVED
  EXCLUSIVE_MAXIMUM_INCREASED EXCLUSIVE_MAXIMUM_REMOVED EXCLUSIVE_MINIMUM_DECREASED EXCLUSIVE_MINIMUM_REMOVED
  MULTIPLE_OF_REDUCED MULTIPLE_OF_REMOVED
  REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED REQUIRED_ATTRIBUTE_REMOVED
  DEPENDENCY_ARRAY_NARROWED DEPENDENCY_ARRAY_REMOVED DEPENDENCY_SCHEMA_REMOVED
  MAX_PROPERTIES_INCREASED MAX_PROPERTIES_REMOVED MIN_PROPERTIES_DECREASED MIN_PROPERTIES_REMOVED
  ADDITIONAL_PROPERTIES_ADDED ADDITIONAL_PROPERTIES_EXTENDED UNEVALUATED_PROPERTIES_ADDED UNEVALUATED_PROPERTIES_EXTENDED
  PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL
  OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL
  PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL
  PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL
  MAX_ITEMS_INCREASED MAX_ITEMS_REMOVED MIN_ITEMS_DECREASED MIN_ITEMS_REMOVED
  MAX_CONTAINS_INCREASED MAX_CONTAINS_REMOVED MIN_CONTAINS_DECREASED MIN_CONTAINS_REMOVED UNIQUE_ITEMS_REMOVED
  ADDITIONAL_ITEMS_ADDED ADDITIONAL_ITEMS_EXTENDED UNEVALUATED_ITEMS_ADDED UNEVALUATED_ITEMS_EXTENDED
  ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL ITEM_ADDED_TO_CLOSED_CONTENT_MODEL
  ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL
  ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL
  ENUM_ARRAY_EXTENDED COMBINED_TYPE_EXTENDED PRODUCT_TYPE_NARROWED SUM_TYPE_EXTENDED NOT_TYPE_NARROWED`.split(/\s+/),
);

export function isCompatible(found: readonly JsonDifference[]): boolean {
  return found.every(({ kind }) => compatibleKinds.has(kind));
}

const sentences: Readonly<Record<string, string>> = {
  TYPE_CHANGED: "has another type for the reader",
  TYPE_NARROWED: "may be a number for the writer, and must be whole for the reader",
  SCHEMA_ADDED: "has a schema for the reader only",
  PATTERN_ADDED: "has a pattern for the reader only",
  PATTERN_CHANGED: "has another pattern for the reader",
  REQUIRED_ATTRIBUTE_ADDED: "is required by the reader, and not by the writer",
  REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL: "is required by the reader, and unknown to the writer",
  REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL:
    "is required by the reader, and the writer's open content model lets it be absent or anything",
  REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_OPEN_CONTENT_MODEL:
    "is described by the reader, and the writer's open content model lets it be anything",
  OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL:
    "is described by the reader, and the writer's open content model lets it be anything",
  PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL:
    "is written by the writer, and the reader's closed content model refuses it",
  PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL:
    "is written by the writer, and the schema that the reader has for other members does not cover it",
  PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL:
    "is described by the reader, and does not cover the schema that the writer has for other members",
  ITEM_ADDED_TO_OPEN_CONTENT_MODEL: "is described by the reader, and the writer lets it be anything",
  ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL: "is written by the writer, and the reader takes no further items",
  ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL:
    "is written by the writer, and the schema that the reader has for other items does not cover it",
  ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL:
    "is described by the reader, and does not cover the schema that the writer has for other items",
  ADDITIONAL_PROPERTIES_REMOVED: "lets the writer add members that the reader refuses",
  ADDITIONAL_PROPERTIES_NARROWED: "lets the writer add any members, and the reader takes those of a schema only",
  UNEVALUATED_PROPERTIES_REMOVED: "lets the writer add members that the reader refuses",
  UNEVALUATED_PROPERTIES_NARROWED: "lets the writer add any members, and the reader takes those of a schema only",
  ADDITIONAL_ITEMS_REMOVED: "lets the writer add items that the reader refuses",
  ADDITIONAL_ITEMS_NARROWED: "lets the writer add any items, and the reader takes those of a schema only",
  UNEVALUATED_ITEMS_REMOVED: "lets the writer add items that the reader refuses",
  UNEVALUATED_ITEMS_NARROWED: "lets the writer add any items, and the reader takes those of a schema only",
  UNIQUE_ITEMS_ADDED: "must have no item twice for the reader only",
  ENUM_ARRAY_NARROWED: "has values for the writer that the reader does not know",
  ENUM_ARRAY_CHANGED: "has values for the writer that the reader does not know",
  MULTIPLE_OF_EXPANDED: "is a multiple of less for the writer",
  MULTIPLE_OF_CHANGED: "is a multiple of something else for the writer",
  COMBINED_TYPE_CHANGED: "is combined in another way by the reader",
  COMBINED_TYPE_SUBSCHEMAS_CHANGED: "has alternatives of the writer that none of the reader's covers",
  PRODUCT_TYPE_EXTENDED: "must fit further schemas for the reader",
  SUM_TYPE_NARROWED: "has more alternatives for the writer than for the reader",
  NOT_TYPE_EXTENDED: "forbids more for the reader",
  DEPENDENCY_ARRAY_ADDED: "needs other members for the reader only",
  DEPENDENCY_ARRAY_EXTENDED: "needs further members for the reader",
  DEPENDENCY_ARRAY_CHANGED: "needs other members for the reader",
  DEPENDENCY_SCHEMA_ADDED: "brings a further schema for the reader only",
};

const limit = /^(.*)_(ADDED|INCREASED|DECREASED)$/;

export function messageOf(kind: string, path: string): string {
  const sentence = sentences[kind];
  if (sentence !== undefined) return `${path} ${sentence}`;
  const bound = limit.exec(kind);
  if (bound === null) return `${path}: ${kind}`;
  return `${path} is ${bound[2] === "ADDED" ? "a limit that only the reader has" : "a narrower limit for the reader"}`;
}
