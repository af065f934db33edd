// What oidc-provider stores, in a Map that the tests can count, empty, and carry over a restart.
//
// A refresh token that was used may be used again for `overlap` seconds: the window that providers with rotation leave
// for clients that did not get the answer. 0: reuse is noticed at once.
export function memoryAdapter({ saved = [], overlap = 0 } = {}) {
  const items = new Map(saved.map(([key, { payload, expires }]) => [key, { payload, expires: expires ?? Infinity }])); // "Model:id" → { payload, expires }

  const live = (key) => {
    const item = items.get(key);
    if (item && item.expires <= Date.now()) {
      items.delete(key);
      return undefined;
    }
    return item?.payload;
  };

  const visible = (payload) => {
    if (!overlap || !payload?.consumed || Date.now() / 1000 >= payload.consumed + overlap) return payload;
    const { consumed: _, ...rest } = payload;
    return rest;
  };

  const search = (model, matches) => {
    for (const key of items.keys()) {
      if (!key.startsWith(`${model}:`)) continue;
      const payload = live(key);
      if (payload && matches(payload)) return payload;
    }
    return undefined;
  };

  const factory = (model) => ({
    upsert: async (id, payload, expiresIn) => {
      items.set(`${model}:${id}`, { payload, expires: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
    },
    find: async (id) => visible(live(`${model}:${id}`)),
    findByUid: async (uid) => search(model, (payload) => payload.uid === uid),
    findByUserCode: async (userCode) => search(model, (payload) => payload.userCode === userCode),
    consume: async (id) => {
      const payload = live(`${model}:${id}`);
      // The overlap begins with the first use.
      if (payload) payload.consumed ??= Math.floor(Date.now() / 1000);
    },
    destroy: async (id) => {
      items.delete(`${model}:${id}`);
    },
    revokeByGrantId: async (grantId) => {
      for (const [key, { payload }] of items) if (payload.grantId === grantId && key.startsWith(`${model}:`)) items.delete(key);
    },
  });

  return {
    factory,
    save: () => [...items],
    put: (model, id, payload) => items.set(`${model}:${id}`, { payload, expires: Infinity }),
    forget: (model) => {
      for (const key of items.keys()) if (key.startsWith(`${model}:`)) items.delete(key);
    },
    // How many items of each model would still be accepted.
    counts: () => {
      const counts = {};
      for (const key of [...items.keys()]) {
        const payload = live(key);
        if (!payload || payload.consumed) continue;
        const model = key.slice(0, key.indexOf(':'));
        counts[model] = (counts[model] ?? 0) + 1;
      }
      return counts;
    },
  };
}
