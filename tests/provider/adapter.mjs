// What oidc-provider stores, in a Map that the tests can count and empty.
export function memoryAdapter() {
  const items = new Map(); // "Model:id" → { payload, expires }

  const live = (key) => {
    const item = items.get(key);
    if (item && item.expires <= Date.now()) {
      items.delete(key);
      return undefined;
    }
    return item?.payload;
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
    find: async (id) => live(`${model}:${id}`),
    findByUid: async (uid) => search(model, (payload) => payload.uid === uid),
    findByUserCode: async (userCode) => search(model, (payload) => payload.userCode === userCode),
    consume: async (id) => {
      const payload = live(`${model}:${id}`);
      if (payload) payload.consumed = Math.floor(Date.now() / 1000);
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
