// What stands around the client: MiniStack with a user pool, an upstream that remembers its requests, and the proxy between them.
// All of it on loopback; all files under $WORK.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { cleanEnv, freePorts, proxyLog, ready, start, startProxy, startUpstream, stopAll } from '../node/loopback.mjs';

const python = fileURLToPath(new URL('venv/bin/python', import.meta.url));

const ministackEnv = {
  ...cleanEnv,
  // Without AUTH neither the confirmation code nor the SRP proof is checked.
  AUTH: 'true',
  BIND_HOST: '127.0.0.1',
  SERVICES: 'cognito-idp',
  MINISTACK_REGION: 'us-east-1',
  STATE_DIR: join(process.env.WORK, 'ministack'),
  // Listeners on fixed ports, and the first on every interface, whatever BIND_HOST says.
  IOT_MTLS_ENABLED: '0',
  SFTP_ENABLED: '0',
  // MiniStack also removes the containers that it takes for its own: it is not to find Docker.
  DOCKER_HOST: 'unix:///nonexistent.sock',
};

/** Starts everything and resolves once the proxy is ready. A process left by a failure ends with the caller's process group. */
export async function startStack() {
  const [ministackPort, proxyPort, adminPort] = await freePorts(3);
  const upstream = await startUpstream((_, response) => response.end('from the upstream'));

  const idp = `http://127.0.0.1:${ministackPort}/`;
  const ministack = start('ministack', python, ['-m', 'ministack'], { ...ministackEnv, GATEWAY_PORT: ministackPort });
  await ready(ministack, `${idp}_ministack/ready`);
  const pool = await createUserPool(idp);

  await startProxy(proxyConfig({ proxyPort, adminPort, idp, pool, upstreamPort: upstream.port }), adminPort);

  return {
    idp,
    pool,
    upstream,
    proxy: `http://127.0.0.1:${proxyPort}`,
    proxyLog,
    stop: stopAll,
  };
}

const proxyConfig = ({ proxyPort, adminPort, idp, pool, upstreamPort }) => `
listeners:
  - address: 127.0.0.1:${proxyPort}
admin:
  address: 127.0.0.1:${adminPort}
user_pools:
  main:
    id: ${pool.id}
    client_ids: ["${pool.clientId}"]
    jwks_uri: ${idp}${pool.id}/.well-known/jwks.json
upstreams:
  items:
    endpoints: [127.0.0.1:${upstreamPort}]
routes:
  - match: { path: "/items/{proxy+}" }
    auth: { user_pools: [main], token: id }
    upstream: items
identity:
  headers: { x-cognito-sub: sub, x-cognito-email: email }
`;

async function createUserPool(idp) {
  const { stdout } = await promisify(execFile)(python, ['user_pool.py', idp], { env: cleanEnv });
  return JSON.parse(stdout);
}
