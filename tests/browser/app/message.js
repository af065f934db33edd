export const message = 'Built with Vite';
