import type { Client, User } from "./index.js";

export interface UserState {
  /** Who is signed in; null: nobody; undefined: not known yet. */
  user: User | null | undefined;
  /** Why Sealgate could not be asked, the last time. */
  error: unknown;
  /** Asks again. */
  reload(): Promise<void>;
}

/** Who is signed in. Asks when the component appears, and follows the session's end. */
export function useUser(client: Client): UserState;
