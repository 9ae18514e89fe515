/**
 * Functions of the store that the columns of topics are computed by (`catalog/member-sql.ts`). A text in the form of RFC 3339
 * says the same under every setting of a session, which is why they are immutable although the casts in them are not.
 *
 * The form is compared with digits made zeros: a pattern for it takes three times as long, and it is asked for each row.
 */
import { dateFunction, momentFunction, uuidFunction } from "../catalog/member-sql.ts";

const zones = "('Z', 'z', '+00:00', '-00:00')";
const shape = "translate(written, '123456789', '000000000')";

const momentForm = `
  shape := ${shape};
  rest := substr(shape, 20);
  if left(shape, 19) not in ('0000-00-00T00:00:00', '0000-00-00t00:00:00') or substr(written, 12, 2) = '24' then return null; end if;
  if left(rest, 2) = '.0' then rest := ltrim(substr(rest, 2), '0'); end if;
  if rest not in ${zones} then return null; end if;`;
const dateForm = `if ${shape} <> '0000-00-00' then return null; end if;`;
const uuidForm = "if written not like '________-____-____-____-____________' then return null; end if;";

/** Made anew at each start. */
export const topicFunctions: readonly string[] = [
  ofText(momentFunction, "timestamp with time zone", 64, momentForm),
  ofText(dateFunction, "date", 10, dateForm),
  ofText(uuidFunction, "uuid", 36, uuidForm),
];

/** NULL for what has another form, and for what only looks like it: a day that no month has. */
function ofText(name: string, type: string, bytesMax: number, form: string): string {
  return `create or replace function ${name}(jsonb) returns ${type}
language plpgsql immutable strict parallel safe cost 10 as $function$
declare
  written text;
  shape text;
  rest text;
begin
  if jsonb_typeof($1) <> 'string' then return null; end if;
  written := $1 #>> '{}';
  if octet_length(written) > ${bytesMax} then return null; end if;
  ${form}
  if pg_input_is_valid(written, '${type}') then return written::${type}; end if;
  return null;
end $function$`;
}
