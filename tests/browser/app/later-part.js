export const loaded = 'later';
