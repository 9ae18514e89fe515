/** Everything that clients ask about consumer groups of the classic protocol, and about offsets of groups of every kind. */
import type { Answer } from "../handler.ts";
import { coordinatorAnswers } from "./coordinator-answers.ts";
import type { GroupDoor } from "./group-door.ts";
import { groupListAnswers } from "./group-list-answers.ts";
import { membershipAnswers } from "./membership-answers.ts";
import { offsetCommitAnswers } from "./offset-commit-answers.ts";
import { offsetDeleteAnswers } from "./offset-delete-answers.ts";
import { offsetFetchAnswers } from "./offset-fetch-answers.ts";

export function groupAnswers(door: GroupDoor): Answer[] {
  return [
    ...coordinatorAnswers(door),
    ...membershipAnswers(door),
    ...offsetCommitAnswers(door),
    ...offsetFetchAnswers(door),
    ...offsetDeleteAnswers(door),
    ...groupListAnswers(door),
  ];
}
