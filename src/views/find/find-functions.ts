/** Functions of the store that searching needs; made when the first view that needs them is built. */

export const foldFunction = "millrace.fold";
export const geodesic = "millrace.geodesic";
export const treePathFunction = "millrace.tree_path";

/** Of a path that is indexed: bytes of its text, and labels. Two paths of that size are in one entry of the index. */
export const treePathBytesMax = 1_000;
export const treeLevelsMax = 100;

/** In statements, so that a text which is no path is never read as one. */
export function makeTreePath(ltreeSchema: string): string {
  const type = `${ltreeSchema}.ltree`;
  const labels = "length(path) - length(replace(path, '.', ''))";
  return (
    `create or replace function ${treePathFunction}(path text) returns ${type} language plpgsql immutable strict parallel safe as $function$ begin ` +
    `if octet_length(path) <= ${treePathBytesMax} and ${labels} < ${treeLevelsMax} and pg_input_is_valid(path, ${literal(type)}) then ` +
    `return path::${type}; end if; return null; end $function$`
  );
}

/**
 * Small letters without accents. It is as unchanging as the rules of unaccent are, which PostgreSQL will not assume:
 * who changes those rules rebuilds the view.
 */
export function makeFold(unaccentSchema: string): string {
  const dictionary = `${unaccentSchema}.unaccent`;
  return (
    `create or replace function ${foldFunction}(text) returns text language sql immutable strict parallel safe ` +
    `begin atomic select lower(${dictionary}(${literal(dictionary)}::regdictionary, normalize($1, nfkc))); end`
  );
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** WGS 84. */
const equatorM = 6_378_137;
const flattening = "(1 / 298.257223563::double precision)";

/**
 * Metres along the WGS 84 ellipsoid between two places in degrees: T. Vincenty, "Direct and inverse solutions of geodesics
 * on the ellipsoid" (1975), right to half a millimetre. Where it does not come to an end, which is for places nearly
 * opposite each other, the answer is the great circle of a sphere of the mean radius.
 */
export const geodesicFunction = `create or replace function ${geodesic}(lat1 double precision, lon1 double precision, lat2 double precision, lon2 double precision)
returns double precision language plpgsql immutable strict parallel safe as $function$
declare
  f constant double precision := ${flattening};
  a constant double precision := ${equatorM};
  b constant double precision := ${equatorM} * (1 - ${flattening});
  l constant double precision := radians(lon2 - lon1 - 360 * round((lon2 - lon1) / 360));
  u1 constant double precision := atan2((1 - f) * sin(radians(lat1)), cos(radians(lat1)));
  u2 constant double precision := atan2((1 - f) * sin(radians(lat2)), cos(radians(lat2)));
  sin_u1 constant double precision := sin(u1);
  cos_u1 constant double precision := cos(u1);
  sin_u2 constant double precision := sin(u2);
  cos_u2 constant double precision := cos(u2);
  lambda double precision := l;
  before double precision;
  sin_lambda double precision;
  cos_lambda double precision;
  sin_sigma double precision;
  cos_sigma double precision;
  sigma double precision;
  sin_alpha double precision;
  cos2_alpha double precision;
  cos_2m double precision;
  c double precision;
  uu double precision;
  aa double precision;
  bb double precision;
begin
  for i in 1..50 loop
    sin_lambda := sin(lambda);
    cos_lambda := cos(lambda);
    sin_sigma := sqrt((cos_u2 * sin_lambda) ^ 2 + (cos_u1 * sin_u2 - sin_u1 * cos_u2 * cos_lambda) ^ 2);
    cos_sigma := sin_u1 * sin_u2 + cos_u1 * cos_u2 * cos_lambda;
    if sin_sigma < 1e-15 then
      if cos_sigma > 0 then return 0; end if;
      exit;
    end if;
    sigma := atan2(sin_sigma, cos_sigma);
    sin_alpha := cos_u1 * cos_u2 * sin_lambda / sin_sigma;
    cos2_alpha := 1 - sin_alpha * sin_alpha;
    cos_2m := case when cos2_alpha < 1e-15 then 0 else cos_sigma - 2 * sin_u1 * sin_u2 / cos2_alpha end;
    c := f / 16 * cos2_alpha * (4 + f * (4 - 3 * cos2_alpha));
    before := lambda;
    lambda := l + (1 - c) * f * sin_alpha * (sigma + c * sin_sigma * (cos_2m + c * cos_sigma * (2 * cos_2m * cos_2m - 1)));
    exit when abs(lambda) > pi() + 1e-9;
    if abs(lambda - before) < 1e-12 then
      uu := cos2_alpha * (a * a - b * b) / (b * b);
      aa := 1 + uu / 16384 * (4096 + uu * (-768 + uu * (320 - 175 * uu)));
      bb := uu / 1024 * (256 + uu * (-128 + uu * (74 - 47 * uu)));
      return b * aa * (sigma - bb * sin_sigma * (cos_2m + bb / 4 * (cos_sigma * (2 * cos_2m * cos_2m - 1)
        - bb / 6 * cos_2m * (4 * sin_sigma * sin_sigma - 3) * (4 * cos_2m * cos_2m - 3))));
    end if;
  end loop;
  return 2 * 6371008.7714 * asin(least(1, sqrt(sin(radians(lat2 - lat1) / 2) ^ 2
    + cos(radians(lat1)) * cos(radians(lat2)) * sin(radians(lon2 - lon1) / 2) ^ 2)));
end $function$`;
