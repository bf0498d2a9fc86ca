// What a web app meets in a browser: its page calls the API of another origin, and reads what CORS lets it read.
//
// Answers are compared without the tokens that were sent for them.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after, test } from 'node:test';

import { startStack } from './stack.js';

const stack = await startStack();
after(() => stack.stop());

const home = `${stack.app}/`;
const unauthorized = { status: 401, body: { message: 'Unauthorized' } };

test('a page reads the status and the JSON of the upstream', async () => {
  const [answer, { preflights, requests }] = await visit(home, (page) => page.fetch('/items/1', withToken()));

  assertAnswer(answer, { status: 200, body: { path: '/items/1' } });
  assert.equal(preflights, 1, 'the browser asks before it sends a token');
  assert.deepEqual(requests.map(({ method }) => method), ['GET'], 'the upstream never sees the preflight');
});

for (const method of ['DELETE', 'PATCH', 'POST', 'PUT']) {
  test(`a page may ${method} JSON`, async () => {
    const headers = { ...withToken().headers, 'content-type': 'application/json' };
    const init = { method, headers, body: '{}' };

    const [answer, { requests }] = await visit(home, (page) => page.fetch('/items/1', init));

    assertAnswer(answer, { status: 200, body: { path: '/items/1' } });
    assert.deepEqual(requests.map((request) => request.method), [method]);
  });
}

test('a page reads that a request without a token is refused', async () => {
  const [answer, { preflights, requests }] = await visit(home, (page) => page.fetch('/items/1'));

  assertAnswer(answer, unauthorized);
  assert.equal(preflights, 0);
  assert.equal(requests.length, 0, 'the upstream never sees it');
});

test('a page reads that a request without a token is refused after a preflight', async () => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };

  const [answer, { preflights, requests }] = await visit(home, (page) => page.fetch('/items/1', init));

  assertAnswer(answer, unauthorized);
  assert.equal(preflights, 1);
  assert.equal(requests.length, 0, 'the upstream never sees it');
});

for (const [name, reason, token] of [
  ['tampered', 'signature_invalid', () => tampered(stack.pool.idToken())],
  ['expired', 'token_expired', () => stack.pool.idToken({ exp: Math.floor(Date.now() / 1_000) - 1 })],
]) {
  test(`a page reads that a token that is ${name} is refused, and why`, async () => {
    const [answer, { requests }] = await visit(home, (page) => page.fetch('/items/1', withToken(token())));

    assertAnswer(answer, unauthorized);
    assert.match(answer.headers['www-authenticate'] ?? '', new RegExp(`\\berror_description="${reason}"`));
    assert.equal(requests.length, 0, 'the upstream never sees it');
  });
}

for (const [status, message, cause, path, init] of [
  // Without a token: the preflight for one to such a path is refused as well, and nobody reads the answer to a preflight.
  [400, 'Bad Request', 'the path is ambiguous', '/items/..%2fadmin', {}],
  [403, 'Forbidden', 'a group is missing', '/admin/1', withToken()],
  [404, 'Not Found', 'no route matches', '/nowhere', withToken()],
  [502, 'Bad Gateway', 'the upstream is down', '/dead/1', withToken()],
]) {
  test(`a page reads the ${status} when ${cause}`, async () => {
    const [answer, { requests }] = await visit(home, (page) => page.fetch(path, init));

    assertAnswer(answer, { status, body: { message } });
    assert.equal(requests.length, 0, 'the upstream never sees it');
  });
}

for (const origin of ['https://elsewhere.example', '*', stack.app]) {
  test(`an upstream that allows ${origin === stack.app ? 'the page' : origin} itself changes nothing`, async () => {
    const path = `/items/1?access-control-allow-origin=${origin}&access-control-allow-credentials=false`;

    const [answer] = await visit(home, (page) => page.fetch(path, { ...withToken(), credentials: 'include' }));

    assertAnswer(answer, { status: 200, body: { path: '/items/1' } });
  });
}

test('a page whose user has a cookie with a token is let in', async () => {
  const [answers, { requests }] = await visit(home, async (page) => {
    await page.setCookie('session', stack.pool.idToken());
    return [
      await page.fetch('/items/1', { credentials: 'include' }),
      await page.fetch('/items/2', { credentials: 'include', method: 'DELETE' }),
      await page.fetch('/items/3', { credentials: 'omit' }),
    ];
  });

  assertAnswer(answers[0], { status: 200, body: { path: '/items/1' } });
  assertAnswer(answers[1], { status: 200, body: { path: '/items/2' } });
  assertAnswer(answers[2], unauthorized);
  assert.deepEqual(requests.map(({ method, url }) => `${method} ${url}`), ['GET /items/1', 'DELETE /items/2']);
});

test('a page reads that a cookie is refused', async () => {
  const [answer, { requests }] = await visit(home, async (page) => {
    await page.setCookie('session', tampered(stack.pool.idToken()));
    return page.fetch('/items/1', { credentials: 'include' });
  });

  assertAnswer(answer, unauthorized);
  assert.equal(requests.length, 0, 'the upstream never sees it');
});

test('a preflight is remembered', async () => {
  const [answers, { preflights }] = await visit(home, async (page) => [
    await page.fetch('/items/1', withToken()),
    await page.fetch('/items/1', withToken()),
  ]);

  assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
  assert.equal(preflights, 1);
});

test('what the browser cached without an origin does not stand in the way of a page', async () => {
  // As a <link rel="stylesheet"> asks: no Origin is sent, and the page cannot read the answer. JSON is not cached that way.
  const path = '/open/1?cache-control=max-age%3D600&content-type=text/css';

  const [answers, { requests }] = await visit(home, async (page) => [
    await page.fetch(path, { mode: 'no-cors' }),
    await page.fetch(path),
    await page.fetch(path),
  ]);

  assertAnswer(answers[0], { status: 0, body: '' });
  assertAnswer(answers[1], { status: 200, body: { path: '/open/1' } });
  assertAnswer(answers[2], { status: 200, body: { path: '/open/1' } });
  assert.equal(requests.length, 2, 'the third came from the cache');
});

test('a page reads the headers that are exposed to it', async () => {
  const [{ headers }] = await visit(home, (page) => page.fetch('/open/1?x-total-count=7&x-internal=1'));

  assert.equal(headers['x-total-count'], '7');
  assert.ok(!('x-internal' in headers));
});

test('a header that is not allowed is not sent', async () => {
  const init = { headers: { ...withToken().headers, 'x-not-allowed': '1' } };

  const [answer, { requests }] = await visit(home, (page) => page.fetch('/items/1', init));

  assertAnswer(answer, { error: 'TypeError', blocked: 'HeaderDisallowedByPreflightResponse' });
  assert.equal(requests.length, 0, 'the upstream never sees it');
});

for (const [proxy, protocol] of [[stack.secureProxy, 'h2'], [stack.proxy, 'http/1.1']]) {
  test(`a page reads what it is let in to and what it is refused over ${protocol}`, async () => {
    // The header lets a page of another origin know how it was answered.
    const path = '/items/1?timing-allow-origin=*';

    const [{ answers, protocols }, { preflights, requests }] = await visit(home, async (page) => ({
      answers: [await page.fetch(path, withToken()), await page.fetch('/items/2')],
      protocols: await page.protocols(path),
    }), proxy);

    assertAnswer(answers[0], { status: 200, body: { path: '/items/1' } });
    assertAnswer(answers[1], unauthorized);
    assert.deepEqual(protocols, [protocol]);
    assert.equal(preflights, 1);
    assert.equal(requests.length, 1);
    assert.equal(requests[0].headers['x-forwarded-proto'], new URL(proxy).protocol.slice(0, -1));
  });
}

for (const [name, url] of Object.entries(stack.strangers)) {
  test(`a page of ${name} is blocked before it sends a token`, async () => {
    const [answer, { requests }] = await visit(url, (page) => page.fetch('/items/1', withToken()));

    assertAnswer(answer, { error: 'TypeError', blocked: 'PreflightMissingAllowOriginHeader' });
    assert.equal(requests.length, 0, 'the upstream never sees it');
  });

  test(`a page of ${name} cannot read an answer`, async () => {
    // What needs no preflight arrives; only the browser keeps the answer from the page.
    const [answers] = await visit(url, async (page) => {
      await page.setCookie('session', stack.pool.idToken());
      return [
        await page.fetch('/open/1'),
        await page.fetch('/open/1?access-control-allow-origin=*'),
        await page.fetch('/items/1', { credentials: 'include' }),
        await page.fetch('/nowhere'),
      ];
    });

    for (const answer of answers) assertAnswer(answer, { error: 'TypeError', blocked: 'MissingAllowOriginHeader' });
  });
}

/**
 * Opens a page in a browser without a past, and resolves to what `use(page)` does, with the number of preflights and the
 * requests that arrived at the upstream meanwhile.
 */
async function visit(url, use, proxy = stack.proxy) {
  const context = await stack.browser.newContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    await page.goto(url);
    const network = await watch(await context.newCDPSession(page));
    stack.upstream.takeRequests();

    const cookie = { url: proxy, httpOnly: true, sameSite: 'Strict' };
    const result = await use({
      fetch: (path, init) => fetchIn(page, network, proxy + path, init),
      protocols: (path) => page.evaluate(protocolsInPage, proxy + path),
      setCookie: (name, value) => context.addCookies([{ ...cookie, name, value }]),
    });

    return [result, { preflights: network.preflights, requests: stack.upstream.takeRequests() }];
  } finally {
    await context.close();
  }
}

/** Follows the network of a page: counts preflights, and emits `end` with what the browser knows of a fetch that is over. */
async function watch(session) {
  const network = Object.assign(new EventEmitter(), { preflights: 0 });
  let fetching;
  session.on('Network.requestWillBeSent', ({ requestId, request, type }) => {
    if (type === 'Fetch') fetching = requestId;
    else if ('Access-Control-Request-Method' in request.headers) network.preflights += 1;
  });
  const end = (event) => event.requestId === fetching && network.emit('end', event);
  session.on('Network.loadingFinished', end);
  session.on('Network.loadingFailed', end);
  await session.send('Network.enable');
  return network;
}

/** Resolves to what a page learns of a fetch, and to why it was blocked: that only the browser knows. */
async function fetchIn(page, network, url, init) {
  const end = once(network, 'end', { signal: AbortSignal.timeout(10_000) });
  const [answer, [{ corsErrorStatus }]] = await Promise.all([page.evaluate(fetchInPage, { url, init }), end]);
  return corsErrorStatus ? { ...answer, blocked: corsErrorStatus.corsError } : answer;
}

/** Runs in the page. */
async function fetchInPage({ url, init }) {
  try {
    const response = await fetch(url, { mode: 'cors', signal: AbortSignal.timeout(5_000), ...init });
    const text = await response.text();
    const headers = Object.fromEntries(response.headers);
    return { status: response.status, headers, body: text && JSON.parse(text) };
  } catch (error) {
    return { error: error.name };
  }
}

/** Runs in the page. */
function protocolsInPage(url) {
  return performance.getEntriesByName(url, 'resource').map(({ nextHopProtocol }) => nextHopProtocol);
}

function withToken(token = stack.pool.idToken()) {
  return { headers: { authorization: token } };
}

function assertAnswer({ headers, ...answer }, expected) {
  assert.deepEqual(answer, expected);
}

/** The token with another first character of its signature: the last one also carries bits that decoding drops. */
function tampered(token) {
  const [header, payload, signature] = token.split('.');
  return `${header}.${payload}.${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`;
}
