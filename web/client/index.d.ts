/** What Sealgate tells of who is signed in: the ID token's claims and the session's lifetimes. */
export interface User {
  /** Who it is at the provider. */
  sub: string;
  name?: string;
  email?: string;
  /** Seconds until the session ends without activity. */
  "bff:session_expires_in": number;
  /** Seconds until the access token expires; Sealgate refreshes it in time. */
  "bff:access_token_expires_in": number;
  /** A link that signs out. */
  "bff:logout_url": string;
  /** Further claims. */
  [claim: string]: unknown;
}

export interface ClientOptions {
  /** `server.prefix` of Sealgate's configuration. */
  prefix?: string;
  /** `csrf.header` and `csrf.value` of Sealgate's configuration. */
  csrf?: [name: string, value: string];
  /** Milliseconds before the second attempt after a refresh conflict. */
  retryAfter?: number;
}

/** What an API wants of a login (RFC 9470). */
export interface StepUp {
  /** Authentication context classes, space-separated, where the API named them. */
  acr_values?: string;
  /** Seconds since the user authenticated, at most, where the API said so. */
  max_age?: number;
  /** The second argument of `login`. */
  login_url: string;
}

export interface Client {
  /**
   * Who is signed in; null: nobody. With `slide: false` the question does not count as activity.
   * Throws when Sealgate does not answer, or answers with anything but 200 and 401.
   */
  user(options?: { slide?: boolean }): Promise<User | null>;
  /**
   * Leaves the page to sign in, and comes back to `returnUrl`: a path, the current one unless given. `url` is that of a
   * login of another kind, such as a `login_url`.
   */
  login(returnUrl?: string, url?: string): void;
  /**
   * Signs in without asking the user, in a frame, where the provider knows the user and the browser shows it its cookies;
   * says whether it did, `false` after `timeout` milliseconds at the latest.
   */
  silentLogin(options?: { timeout?: number }): Promise<boolean>;
  /** Signs out here and at the provider; leaves the page. */
  logout(): Promise<void>;
  /**
   * As `fetch`, with the CSRF header on requests to this origin. A request that met a refresh elsewhere is sent a
   * second time, once. The answer is the upstream's, whatever its status.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Calls `listener` when the session of a known user has ended. Gives the function that stops it. */
  onSessionEnd(listener: () => void): () => void;
  /** Calls `listener` when an API wants a stronger or more recent login. Gives the function that stops it. */
  onStepUp(listener: (wanted: StepUp) => void): () => void;
}

/** A client of the Sealgate that serves this page. One for the app. */
export function createClient(options?: ClientOptions): Client;
