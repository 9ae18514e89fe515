/** Removes the access rules that match filters. */
import { api, array, int8, int16, int32, string, struct } from "../fields.ts";

export const deleteAcls = api({
  key: 31,
  name: "DeleteAcls",
  versions: [1, 3],
  flexibleFrom: 2,
  request: struct({
    filters: array(
      struct({
        resourceTypeFilter: int8(),
        resourceNameFilter: string({ nullable: 0 }),
        patternTypeFilter: int8({ default: 3 }),
        principalFilter: string({ nullable: 0 }),
        hostFilter: string({ nullable: 0 }),
        operation: int8(),
        permissionType: int8(),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    filterResults: array(
      struct({
        errorCode: int16(),
        errorMessage: string({ nullable: 0 }),
        matchingAcls: array(
          struct({
            errorCode: int16(),
            errorMessage: string({ nullable: 0 }),
            resourceType: int8(),
            resourceName: string(),
            patternType: int8({ default: 3 }),
            principal: string(),
            host: string(),
            operation: int8(),
            permissionType: int8(),
          }),
        ),
      }),
    ),
  }),
});
