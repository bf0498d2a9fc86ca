// What a web app's Cognito client meets: it signs in as the AWS library does by default, then calls through the proxy.
//
// Tokens are compared with assert.ok, whose message names the rule: assert.equal would print them.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { promisify } from 'node:util';

import { AuthenticationDetails, CognitoUser, CognitoUserAttribute, CognitoUserPool } from 'amazon-cognito-identity-js';

import { startStack } from './stack.js';

const stack = await startStack();
after(() => stack.stop());

const username = 'alice';
const password = 'Correct-horse-1';
const email = 'alice@example.com';
const pool = new CognitoUserPool({ UserPoolId: stack.pool.id, ClientId: stack.pool.clientId, endpoint: stack.idp });

/** The session of the sign-in test, which the tests after it use. */
let session;

test('a new user signs up, confirms and signs in by the default flow', async () => {
  const attributes = [new CognitoUserAttribute({ Name: 'email', Value: email })];
  const { user } = await promisify(pool.signUp.bind(pool))(username, password, attributes, null);
  await promisify(user.confirmRegistration.bind(user))('123456', false);

  session = await signIn(password);

  assert.ok(session.isValid());
  assert.equal(session.getIdToken().payload.email, email);
});

test('a wrong password does not sign in', async () => {
  await assert.rejects(signIn('Wrong-horse-1'), { code: 'NotAuthorizedException' });
});

test('a bare id token passes', async () => {
  const token = idToken();

  const { response, body, requests } = await get('/items/1?page=2', { authorization: token });

  assert.equal(response.status, 200);
  assert.equal(body, 'from the upstream');
  assert.deepEqual(requests.map(({ method, url }) => `${method} ${url}`), ['GET /items/1?page=2']);
  assert.ok(requests[0].headers.authorization === token, 'the upstream gets the token as it came');
});

test('a Bearer id token passes', async () => {
  const { response, requests } = await get('/items/1', { authorization: `Bearer ${idToken()}` });

  assert.equal(response.status, 200);
  assert.equal(requests.length, 1);
});

test('a refreshed id token passes', async () => {
  const user = cognitoUser();
  const refreshed = await promisify(user.refreshSession.bind(user))(session.getRefreshToken());

  const { response, requests } = await get('/items/1', { authorization: refreshed.getIdToken().getJwtToken() });

  assert.equal(response.status, 200);
  assert.equal(requests.length, 1);
});

test('the upstream learns who calls from the token', async () => {
  const { requests } = await get('/items/1', { authorization: idToken() });

  assertIdentity(requests);
});

test('a forged identity header is replaced', async () => {
  const forged = { 'x-cognito-sub': 'mallory', 'X-Cognito-Email': 'mallory@example.com' };

  const { requests } = await get('/items/1', { authorization: idToken(), ...forged });

  assertIdentity(requests);
});

test('no token is refused with a challenge', async () => {
  const answer = await get('/items/1');

  // RFC 6750 section 3.1: no error code for a request that shows no authentication at all.
  assertRefused(answer, /^Bearer realm="[^"]+"$/);
});

test('a token with another sub is refused', async () => {
  const [header, payload, signature] = idToken().split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  const tampered = Buffer.from(JSON.stringify({ ...claims, sub: 'mallory' })).toString('base64url');

  const answer = await get('/items/1', { authorization: `${header}.${tampered}.${signature}` });

  assertRefused(answer, invalidToken('signature_invalid'));
});

test('a token with another signature is refused', async () => {
  const [header, payload, signature] = idToken().split('.');
  // The first character: the last one also carries bits that decoding drops.
  const tampered = (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1);

  const answer = await get('/items/1', { authorization: `${header}.${payload}.${tampered}` });

  assertRefused(answer, invalidToken('signature_invalid'));
});

test('an access token is refused where an id token is asked for', async () => {
  const answer = await get('/items/1', { authorization: session.getAccessToken().getJwtToken() });

  assertRefused(answer, invalidToken('token_use_mismatch'));
});

test('no token reaches the log of the proxy', async () => {
  const log = await stack.proxyLog();

  for (const token of [session.getIdToken(), session.getAccessToken()]) {
    const signature = token.getJwtToken().split('.')[2];
    assert.ok(!log.includes(signature), 'the log holds no signature');
  }
});

function cognitoUser() {
  return new CognitoUser({ Username: username, Pool: pool });
}

/** Signs in with whatever flow the library starts with: no flow is chosen here. */
function signIn(secret) {
  const user = cognitoUser();
  const details = new AuthenticationDetails({ Username: username, Password: secret });
  return new Promise((onSuccess, onFailure) => user.authenticateUser(details, { onSuccess, onFailure }));
}

function idToken() {
  return session.getIdToken().getJwtToken();
}

async function get(path, headers = {}) {
  const response = await fetch(stack.proxy + path, { headers });
  return { sent: headers.authorization, response, body: await response.text(), requests: stack.upstream.takeRequests() };
}

function invalidToken(reason) {
  return new RegExp(`^Bearer (?=.*\\brealm=")(?=.*\\berror="invalid_token")(?=.*\\berror_description="${reason}")`);
}

function assertRefused({ sent, response, body, requests }, challenge) {
  assert.ok(!sent || ![body, ...response.headers.values()].some((text) => text.includes(sent)), 'no token is echoed');
  assert.equal(response.status, 401);
  assert.match(response.headers.get('www-authenticate') ?? '', challenge);
  assert.deepEqual(JSON.parse(body), { message: 'Unauthorized' });
  assert.equal(requests.length, 0, 'the upstream never sees it');
}

function assertIdentity(requests) {
  assert.equal(requests.length, 1);
  assert.equal(requests[0].headers['x-cognito-sub'], session.getIdToken().payload.sub);
  assert.equal(requests[0].headers['x-cognito-email'], email);
}
