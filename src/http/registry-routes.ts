/**
 * `/registry`: the registry of schemas, in the shape of Confluent's, so that its clients work against it. They are told
 * the address of the door with `/registry` behind it.
 */
import { MillraceError } from "../base/errors.ts";
import {
  decideConfig,
  decideDeleteConfig,
  decideDeleteMode,
  decideDeleteSubject,
  decideDeleteVersion,
  decideMode,
  levelOf,
  modeOf,
  unknownSubject,
} from "../registry/registry-decisions.ts";
import type { SubjectVersion } from "../registry/registry-records.ts";
import type { SchemaRegistry } from "../registry/schema-registry.ts";
import type { SubjectProblem } from "../registry/schema-texts.ts";
import { schemaTypes } from "../schema/registry/parsed-schema.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { queryValue } from "./parameters.ts";
import {
  answered,
  formattedText,
  registryMediaType,
  schemaJson,
  schemaReply,
  versionJson,
} from "./registry-answers.ts";
import {
  flag,
  formatOf,
  isWanted,
  optionalFlag,
  pageOf,
  readConfig,
  readMode,
  readSchema,
  schemaById,
  subjectOf,
  versionOf,
  versionsOf,
} from "./registry-requests.ts";
import type { Call, Method, Reply, Route } from "./route.ts";
import { anything } from "./schemas.ts";

interface RegistryRoute {
  readonly method: Method;
  /** Below `/registry`. */
  readonly path: string;
  readonly operation: string;
  readonly about: string;
  readonly takesBody?: true;
  readonly handle: (registry: SchemaRegistry, call: Call) => unknown;
}

export function registryRoutes(deps: Pick<HttpDoorDependencies, "registry">): readonly Route[] {
  return routes.map(({ method, path, operation, about, takesBody, handle }) => ({
    method,
    path: `/registry${path}`,
    operation,
    about,
    access: "key" as const,
    basic: true as const,
    // Clients of later versions ask with parameters that servers of earlier ones pass over.
    openQuery: true as const,
    parameters: [],
    ...(takesBody ? { body: { [registryMediaType]: { type: "object" } } } : {}),
    answers: { 200: { about: "As Confluent's registry answers it.", type: registryMediaType, schema: anything } },
    errors: [],
    handle: async (call) => {
      const value = await handle(deps.registry, call);
      return isReply(value) ? value : answered(value);
    },
  }));
}

const routes: readonly RegistryRoute[] = [
  {
    method: "GET",
    path: "",
    operation: "registry",
    about: "That a registry of schemas is here.",
    handle: () => ({}),
  },
  {
    method: "GET",
    path: "/",
    operation: "registryRoot",
    about: "The same, as clients ask that put a slash behind the address.",
    handle: () => ({}),
  },
  {
    method: "GET",
    path: "/subjects",
    operation: "listSubjects",
    about: "Names of subjects, by prefix.",
    handle: ({ state }, call) => {
      const prefix = (queryValue(call.query, "subjectPrefix") ?? "").replace(/^:(\*|\.):/, "");
      const names = [...state.subjects()].filter((name) => {
        return name.startsWith(prefix) && [...state.versions(name).values()].some(isWanted(call));
      });
      return pageOf(call, names.sort());
    },
  },
  {
    method: "POST",
    path: "/subjects/{subject}",
    operation: "lookupSchema",
    about: "The version of a subject that is this schema.",
    takesBody: true,
    handle: async (registry, call) => {
      const { schema } = await readSchema(call);
      const subject = subjectOf(call);
      const deleted = flag(call, "deleted") || flag(call, "lookupDeletedSchema");
      const versions = [...registry.state.versions(subject).values()];
      if (!versions.some((one) => deleted || !one.deleted)) throw unknownSubject(subject);
      const candidate = registry.candidate(subject, schema, optionalFlag(call, "normalize"));
      const found = registry.find(subject, candidate, { deleted });
      if (found) return versionJson(registry, found, formatOf(call));
      throw new MillraceError("SCHEMA_UNKNOWN", "Schema not found");
    },
  },
  {
    method: "DELETE",
    path: "/subjects/{subject}",
    operation: "deleteSubject",
    about: "Hides all versions of a subject; with permanent=true it erases what is hidden.",
    handle: (registry, call) => {
      const permanent = flag(call, "permanent");
      return registry.change((state) => decideDeleteSubject(state, subjectOf(call), { permanent }));
    },
  },
  {
    method: "GET",
    path: "/subjects/{subject}/versions",
    operation: "listSchemaVersions",
    about: "Numbers of a subject's versions.",
    handle: ({ state }, call) => {
      const numbers = versionsOf(state, call).map(({ version }) => version);
      return pageOf(call, numbers);
    },
  },
  {
    method: "POST",
    path: "/subjects/{subject}/versions",
    operation: "registerSchema",
    about: "Registers a schema, or answers the id that it has.",
    takesBody: true,
    handle: async (registry, call) => {
      const { schema, ...place } = await readSchema(call);
      const normalize = optionalFlag(call, "normalize");
      const options = { ...place, ...(normalize === undefined ? {} : { normalize }) };
      const { id } = await registry.register(subjectOf(call), schema, options);
      return { id };
    },
  },
  {
    method: "GET",
    path: "/subjects/{subject}/versions/{version}",
    operation: "showSchemaVersion",
    about: "One version of a subject, by number or latest.",
    handle: (registry, call) => {
      const at = versionOf(registry.state, call, { deleted: flag(call, "deleted") });
      return versionJson(registry, at, formatOf(call));
    },
  },
  {
    method: "GET",
    path: "/subjects/{subject}/versions/{version}/schema",
    operation: "showSchemaOfVersion",
    about: "The schema of a version alone.",
    handle: (registry, call) => {
      const { id } = versionOf(registry.state, call, { deleted: flag(call, "deleted") });
      const schema = registry.state.schema(id);
      return schemaReply(schema ? formattedText(registry, schema, formatOf(call)) : "");
    },
  },
  {
    method: "DELETE",
    path: "/subjects/{subject}/versions/{version}",
    operation: "deleteSchemaVersion",
    about: "Hides one version; with permanent=true it erases it.",
    handle: (registry, call) => {
      const permanent = flag(call, "permanent");
      return registry.change((state) => {
        const at = versionOf(state, call, { deleted: true });
        return decideDeleteVersion(state, at, { permanent });
      });
    },
  },
  {
    method: "GET",
    path: "/subjects/{subject}/versions/{version}/referencedby",
    operation: "listSchemaReferrers",
    about: "Ids of the schemas that are built on a version.",
    handle: ({ state }, call) => {
      const { subject, version } = versionOf(state, call, { deleted: true });
      const wanted = isWanted(call);
      const ids = state.referrersOf(subject, version).filter((id) => state.placesOf(id).some(wanted));
      return pageOf(call, ids);
    },
  },
  {
    method: "GET",
    path: "/schemas",
    operation: "listSchemas",
    about: "Schemas with their subjects and versions, by prefix of the subject.",
    handle: (registry, call) => {
      const { state } = registry;
      const prefix = (queryValue(call.query, "subjectPrefix") ?? "").replace(/^:(\*|\.):/, "");
      const latestOnly = flag(call, "latestOnly");
      const all = [...state.subjects()].sort().flatMap((subject): SubjectVersion[] => {
        if (!subject.startsWith(prefix)) return [];
        const versions = [...state.versions(subject).values()].filter(isWanted(call));
        return latestOnly ? versions.slice(-1) : versions;
      });
      return pageOf(call, all).map((at) => versionJson(registry, at));
    },
  },
  {
    method: "GET",
    path: "/schemas/types",
    operation: "listSchemaTypes",
    about: "The types of schemas.",
    handle: () => schemaTypes,
  },
  {
    method: "GET",
    path: "/schemas/ids/{id}",
    operation: "showSchema",
    about: "The schema that has an id.",
    handle: (registry, call) => {
      const schema = schemaById(registry.state, call);
      const maxId = flag(call, "fetchMaxId") ? { maxId: registry.state.lastId } : {};
      return { ...schemaJson(registry, schema, formatOf(call)), ...maxId };
    },
  },
  {
    method: "GET",
    path: "/schemas/ids/{id}/schema",
    operation: "showSchemaText",
    about: "The schema that has an id, alone.",
    handle: (registry, call) => {
      return schemaReply(formattedText(registry, schemaById(registry.state, call), formatOf(call)));
    },
  },
  {
    method: "GET",
    path: "/schemas/ids/{id}/subjects",
    operation: "listSubjectsOfSchema",
    about: "Subjects that a schema is registered below.",
    handle: ({ state }, call) => {
      const places = state.placesOf(schemaById(state, call).id).filter(isWanted(call));
      return pageOf(call, [...new Set(places.map(({ subject }) => subject))].sort());
    },
  },
  {
    method: "GET",
    path: "/schemas/ids/{id}/versions",
    operation: "listPlacesOfSchema",
    about: "Subjects and versions that a schema is registered as.",
    handle: ({ state }, call) => {
      const places = state.placesOf(schemaById(state, call).id).filter(isWanted(call));
      return pageOf(
        call,
        places.map(({ subject, version }) => ({ subject, version })),
      );
    },
  },
  {
    method: "POST",
    path: "/compatibility/subjects/{subject}/versions",
    operation: "checkSchema",
    about: "Whether a schema could be registered below a subject.",
    takesBody: true,
    handle: async (registry, call) => {
      const { schema } = await readSchema(call);
      const subject = subjectOf(call);
      const candidate = registry.candidate(subject, schema, optionalFlag(call, "normalize"));
      return comparison(registry, call, registry.problems(subject, candidate));
    },
  },
  {
    method: "POST",
    path: "/compatibility/subjects/{subject}/versions/{version}",
    operation: "checkSchemaWithVersion",
    about: "Whether a schema and one version can be read alike.",
    takesBody: true,
    handle: async (registry, call) => {
      const { schema } = await readSchema(call);
      const at = versionOf(registry.state, call, { deleted: false });
      const candidate = registry.candidate(at.subject, schema, optionalFlag(call, "normalize"));
      return comparison(registry, call, registry.compare(candidate, levelOf(registry.state, at.subject), [at]));
    },
  },
  {
    method: "GET",
    path: "/config",
    operation: "showCompatibility",
    about: "The compatibility of subjects that have none of their own.",
    handle: ({ state }) => ({ compatibilityLevel: state.config(null)?.compatibility ?? "BACKWARD" }),
  },
  {
    method: "PUT",
    path: "/config",
    operation: "setCompatibility",
    about: "Sets the compatibility of subjects that have none of their own.",
    takesBody: true,
    handle: async (registry, call) => {
      const config = await readConfig(call);
      return registry.change((state) => decideConfig(state, null, config, registry.limits));
    },
  },
  {
    method: "DELETE",
    path: "/config",
    operation: "resetCompatibility",
    about: "Sets it back to BACKWARD, and answers what it was.",
    handle: async (registry) => {
      const config = await registry.change((state) => decideDeleteConfig(state, null));
      return { compatibilityLevel: config.compatibility ?? "BACKWARD" };
    },
  },
  {
    method: "GET",
    path: "/config/{subject}",
    operation: "showSubjectCompatibility",
    about: "The compatibility of a subject; with defaultToGlobal=true that of all where it has none.",
    handle: ({ state }, call) => {
      const subject = subjectOf(call);
      const own = state.config(subject);
      if (own?.compatibility === undefined && !flag(call, "defaultToGlobal")) {
        throw new MillraceError(
          "COMPATIBILITY_NOT_SET",
          `Subject '${subject.slice(0, 200)}' does not have subject-level compatibility configured`,
        );
      }
      const { normalize } = own ?? {};
      return { compatibilityLevel: levelOf(state, subject), ...(normalize === undefined ? {} : { normalize }) };
    },
  },
  {
    method: "PUT",
    path: "/config/{subject}",
    operation: "setSubjectCompatibility",
    about: "Sets the compatibility of a subject.",
    takesBody: true,
    handle: async (registry, call) => {
      const config = await readConfig(call);
      return registry.change((state) => decideConfig(state, subjectOf(call), config, registry.limits));
    },
  },
  {
    method: "DELETE",
    path: "/config/{subject}",
    operation: "resetSubjectCompatibility",
    about: "Takes a subject's own compatibility away, and answers what it was.",
    handle: async (registry, call) => {
      const config = await registry.change((state) => decideDeleteConfig(state, subjectOf(call)));
      return { compatibilityLevel: config.compatibility ?? levelOf(registry.state, subjectOf(call)) };
    },
  },
  {
    method: "GET",
    path: "/mode",
    operation: "showRegistryMode",
    about: "The mode of the registry.",
    handle: ({ state }) => ({ mode: modeOf(state, null) }),
  },
  {
    method: "PUT",
    path: "/mode",
    operation: "setRegistryMode",
    about: "Sets the mode of the registry: READWRITE, READONLY, READONLY_OVERRIDE or IMPORT.",
    takesBody: true,
    handle: async (registry, call) => {
      const mode = await readMode(call);
      const force = flag(call, "force");
      return { mode: await registry.change((state) => decideMode(state, null, mode, { force }, registry.limits)) };
    },
  },
  {
    method: "GET",
    path: "/mode/{subject}",
    operation: "showSubjectMode",
    about: "The mode of a subject; with defaultToGlobal=true that of the registry where it has none.",
    handle: ({ state }, call) => {
      const subject = subjectOf(call);
      if (state.mode(subject) === undefined && !flag(call, "defaultToGlobal")) {
        const message = `Subject '${subject.slice(0, 200)}' does not have subject-level mode configured`;
        throw new MillraceError("REGISTRY_MODE_NOT_SET", message);
      }
      return { mode: modeOf(state, subject) };
    },
  },
  {
    method: "PUT",
    path: "/mode/{subject}",
    operation: "setSubjectMode",
    about: "Sets the mode of a subject.",
    takesBody: true,
    handle: async (registry, call) => {
      const mode = await readMode(call);
      const subject = subjectOf(call);
      const force = flag(call, "force");
      return { mode: await registry.change((state) => decideMode(state, subject, mode, { force }, registry.limits)) };
    },
  },
  {
    method: "DELETE",
    path: "/mode/{subject}",
    operation: "resetSubjectMode",
    about: "Takes a subject's own mode away, and answers what it was.",
    handle: async (registry, call) => {
      return { mode: await registry.change((state) => decideDeleteMode(state, subjectOf(call))) };
    },
  },
  {
    method: "GET",
    path: "/contexts",
    operation: "listContexts",
    about: "There is one context, the default one.",
    handle: () => ["."],
  },
];

/** What is in the way is told with `verbose=true`. */
function comparison(registry: SchemaRegistry, call: Call, problems: readonly SubjectProblem[]) {
  const isCompatible = problems.length === 0;
  if (!flag(call, "verbose")) return { is_compatible: isCompatible };
  const { state } = registry;
  const told = problems.slice(0, messagesMax).map(({ kind, message, path, version }) => {
    return `{errorType:'${kind}', description:'${message}', additionalInfo:'${path}', oldSchemaVersion:${version}}`;
  });
  const level = levelOf(state, subjectOf(call));
  return { is_compatible: isCompatible, messages: isCompatible ? [] : [...told, `{compatibility: '${level}'}`] };
}

const messagesMax = 100;

function isReply(value: unknown): value is Reply {
  return typeof value === "object" && value !== null && "kind" in value && "status" in value;
}
