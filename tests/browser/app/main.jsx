// What people write: React, the client with its hook, a style sheet, and a part that is loaded when it is needed.
import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createClient } from '@sealgate/client';
import { useUser } from '@sealgate/client/react';
import { message } from './message.js';
import './style.css';

const bff = createClient({ retryAfter: 10 });
window.bff = bff;

function App() {
  const { user } = useUser(bff);
  const [more, setMore] = useState('');
  if (user === undefined) return <p>…</p>;
  return (
    <main style={{ padding: '1rem' }}>
      <h1 id="message">{message}</h1>
      <p id="user">{user ? user.sub : 'nobody'}</p>
      <p id="more">{more}</p>
      <button id="sign-in" onClick={() => bff.login()}>Sign in</button>
      <button id="sign-out" onClick={() => bff.logout()}>Sign out</button>
      <button id="load" onClick={async () => setMore((await import('./later.js')).later)}>Load</button>
    </main>
  );
}

createRoot(document.getElementById('root')).render(<StrictMode><App /></StrictMode>);
