// Questions to the monitor. Where the cookie has ended, the page loads anew and asks for the token.

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the monitor does not answer");
  }
  if (answer.status === 401) {
    location.reload();
    throw new Error("the token is needed again");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the monitor answered ${answer.status}`);
  return body;
}

export const get = (path, query = {}) => ask(`${path}?${new URLSearchParams(query)}`, {});

export const post = (path, body) => ask(path, { method: "POST", body: JSON.stringify(body) });
