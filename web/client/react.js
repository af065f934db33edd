// A React hook over the client.
import { useCallback, useEffect, useState } from "react";

/** Who is signed in, kept up to date. See react.d.ts. */
export function useUser(client) {
  const [state, setState] = useState({ user: undefined, error: undefined });
  const reload = useCallback(async () => {
    try {
      setState({ user: await client.user(), error: undefined });
    } catch (error) {
      setState((last) => ({ ...last, error }));
    }
  }, [client]);
  useEffect(() => {
    reload();
    return client.onSessionEnd(() => setState({ user: null, error: undefined }));
  }, [client, reload]);
  return { ...state, reload };
}
