// The provider's few pages, as plain as can be.
const page = (title, body) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>
<body><main><h1>${title}</h1>${body}</main></body></html>`;

export const renderLogin = (action, problem = '') => page('Sign in', `
${problem && `<p role="alert">${problem}</p>`}
<form method="post" action="${action}">
<p><label>Name <input name="username" autocomplete="username" required></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>
<p><button type="submit">Sign in</button></p>
</form>`);

export const renderLogout = (form) => page('Sign out', `${form}
<p><button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button></p>`);

export const renderSignedOut = () => page('Signed out', '<p>You are signed out.</p>');
