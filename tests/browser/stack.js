// What stands around the browser: pages of several origins, the keys of a user pool, an upstream that remembers its requests,
// the proxy between them, and the browser itself.

import { execFile } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { chromium } from 'playwright-core';

import { cleanEnv, freePorts, ready, serve, start, startProxy, startUpstream, stopAll } from '../node/loopback.mjs';
import { createUserPool } from './user_pool.js';

const { WORK } = process.env;
const profile = join(WORK, 'chromium');

const chromiumFlags = [
  '--headless',
  '--no-sandbox',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  // Containers have little of it.
  '--disable-dev-shm-usage',
  '--disable-gpu',
  '--disable-quic',
  '--disable-sync',
  `--user-data-dir=${profile}`,
];

/** Starts everything and resolves once the proxy is ready. A process left by a failure ends with the caller's process group. */
export async function startStack() {
  const [proxyPort, securePort, adminPort, closedPort, debugPort] = await freePorts(5);
  const certificate = await createCertificate('localhost');
  const pool = createUserPool('eu-west-1_Test12345', '4example23client56id78abcd');
  const jwksPort = await serve((_, response) => response.end(JSON.stringify(pool.jwks)));
  const upstream = await startUpstream(answerAsAsked);
  const [appPort, otherPort] = [await serve(sendPage), await serve(sendPage)];

  const app = `http://127.0.0.1:${appPort}`;
  const ports = { proxyPort, securePort, adminPort, jwksPort, upstreamPort: upstream.port, closedPort };
  await startProxy(proxyConfig({ ...ports, app, certificate, pool }), adminPort);

  return {
    /** The origin of the web app, which the proxy allows. */
    app,
    /** Pages that it does not allow. */
    strangers: {
      'another port': `http://127.0.0.1:${otherPort}/`,
      'another host': `http://localhost:${appPort}/`,
      'an opaque origin': `${app}/sandboxed`,
    },
    pool,
    proxy: `http://127.0.0.1:${proxyPort}`,
    /** The same proxy over TLS, with a certificate that the browser takes. */
    secureProxy: `https://localhost:${securePort}`,
    upstream,
    browser: await startBrowser(debugPort, certificate),
    stop: stopAll,
  };
}

const proxyConfig = ({ proxyPort, securePort, adminPort, jwksPort, upstreamPort, closedPort, app, certificate, pool }) => `
listeners:
  - address: 127.0.0.1:${proxyPort}
  - address: 127.0.0.1:${securePort}
    tls: { certificates: [{ cert: "${certificate.cert}", key: "${certificate.key}" }] }
admin:
  address: 127.0.0.1:${adminPort}
user_pools:
  main:
    id: ${pool.id}
    client_ids: ["${pool.clientId}"]
    jwks_uri: http://127.0.0.1:${jwksPort}/jwks.json
upstreams:
  items:
    endpoints: [127.0.0.1:${upstreamPort}]
  dead:
    endpoints: [127.0.0.1:${closedPort}]
routes:
  - match: { path: "/items/{proxy+}" }
    auth: { user_pools: [main], token: id }
    upstream: items
  - match: { path: "/admin/{proxy+}" }
    auth: { user_pools: [main], token: id, groups_any: [admins] }
    upstream: items
  - match: { path: "/open/{proxy+}" }
    auth: none
    upstream: items
  - match: { path: "/dead/{proxy+}" }
    auth: none
    upstream: dead
token:
  sources: [{ header: authorization }, { cookie: session }]
cors:
  allow_origins: ["${app}"]
  allow_headers: [authorization, content-type]
  allow_credentials: true
  expose_headers: [x-total-count]
  max_age: 10m
`;

/** Sends JSON, with a header for every parameter of the query. */
function answerAsAsked({ url }, response) {
  const { pathname, searchParams } = new URL(url, 'http://upstream');
  const headers = { 'content-type': 'application/json', ...Object.fromEntries(searchParams) };
  response.writeHead(200, headers).end(JSON.stringify({ path: pathname }));
}

/** Sends a page; the one called /sandboxed has no origin of its own. */
function sendPage({ url }, response) {
  response.setHeader('content-type', 'text/html');
  if (url === '/sandboxed') response.setHeader('content-security-policy', 'sandbox allow-scripts');
  response.end('<!doctype html><title>App</title><link rel="icon" href="data:,">');
}

/** Makes a certificate that nobody has vouched for; resolves to its files and the hash of its key, as browsers pin it. */
async function createCertificate(name) {
  const [cert, key] = ['tls.crt', 'tls.key'].map((file) => join(WORK, file));
  const files = ['-keyout', key, '-out', cert];
  const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await promisify(execFile)('openssl', ['req', ...kind, ...names, ...files]);
  const { publicKey } = new X509Certificate(await readFile(cert));
  const spki = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
  return { cert, key, spki };
}

/**
 * Starts Chromium here and not through Playwright, which would put it in a process group of its own. Only its crash handlers
 * leave the caller's, and they end with it.
 */
async function startBrowser(port, { spki }) {
  const url = `http://127.0.0.1:${port}`;
  const ours = [`--remote-debugging-port=${port}`, `--ignore-certificate-errors-spki-list=${spki}`];
  const child = start('chromium', 'chromium', [...chromiumFlags, ...ours], cleanEnv);
  await ready(child, `${url}/json/version`);
  return chromium.connectOverCDP(url, { timeout: 10_000 });
}
