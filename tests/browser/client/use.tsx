// What people write with the client, as the compiler sees it, and what it must refuse.
import { createClient, type Client, type User } from '@sealgate/client';
import { useUser } from '@sealgate/client/react';
import * as source from '../../../web/client/index.js';

// The source has what the types promise.
const bff: Client = source.createClient({ prefix: '/bff', csrf: ['X-CSRF', '1'] }) satisfies ReturnType<typeof createClient>;

export async function use(): Promise<void> {
  const user: User | null = await bff.user({ slide: false });
  if (user === null) return bff.login('/orders');
  const left: number = user['bff:session_expires_in'];
  const response: Response = await bff.fetch('/api/orders', { method: 'POST', body: String(left) });
  const stop: () => void = bff.onSessionEnd(() => response.status);
  stop();
  bff.onStepUp(({ login_url, max_age }) => bff.login(`/orders?age=${max_age ?? 0}`, login_url));
  const known: boolean = await bff.silentLogin({ timeout: 5_000 });
  if (known) await bff.logout();
  // @ts-expect-error: a path, nothing else
  bff.login(1);
  // @ts-expect-error: whoever is signed in may be nobody
  (await bff.user()).sub;
}

export function Greeting() {
  const { user, error, reload } = useUser(bff);
  if (user === undefined) return <p>{String(error)}</p>;
  return <button onClick={reload}>{user?.name ?? 'Sign in'}</button>;
}
