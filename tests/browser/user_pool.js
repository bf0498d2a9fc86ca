// A user pool: a key made for this run, and the ID tokens that it signs.

import { generateKeyPairSync, sign } from 'node:crypto';

export function createUserPool(id, clientId) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const header = { alg: 'RS256', kid: 'key-1' };
  const issuer = `https://cognito-idp.${id.split('_')[0]}.amazonaws.com/${id}`;

  return {
    id,
    clientId,
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), ...header, use: 'sig' }] },
    /** An ID token that was issued now; `changes` replace its claims. */
    idToken(changes = {}) {
      const now = Math.floor(Date.now() / 1_000);
      const subject = { sub: '8f14e45f-ceea-467f-a8e8-3c1d2f0b9a01', 'cognito:username': 'alice' };
      const times = { auth_time: now, iat: now, exp: now + 3_600 };
      const claims = { iss: issuer, aud: clientId, token_use: 'id', ...subject, ...times, ...changes };
      const signed = `${encoded(header)}.${encoded(claims)}`;
      return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
    },
  };
}

const encoded = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
