// What both k6 scripts need of a bank: its demo.json, creating a payment, one-time codes. $DATA_DIR is an absolute path.
import crypto from 'k6/crypto';
import { SharedArray } from 'k6/data';
import http from 'k6/http';

const dir = __ENV.DATA_DIR;
const file = (path) => (path.startsWith('/') ? path : `${dir}/${path}`);

// Shared, because every virtual user runs this file: with many customers, a copy for each would fill the memory.
const doors = new SharedArray('doors', () => {
  const { version, partner } = JSON.parse(open(`${dir}/demo.json`));
  if (version !== 1) throw new Error(`demo.json has version ${version}, this script reads 1`);
  return [partner];
});
export const customers = new SharedArray('customers', () => JSON.parse(open(`${dir}/demo.json`)).customers);
export const partner = doors[0];
export const tlsAuth = [{ cert: open(file(partner.cert)), key: open(file(partner.key)) }];

function uuid() {
  const b = new Uint8Array(crypto.randomBytes(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// create makes a payment and gives the answer.
export function create() {
  const id = uuid();
  const order = {
    endToEndIdentification: id.slice(1),
    instructedAmount: { currency: 'CNY', amount: '128.00' },
    creditorAccount: { iban: 'DE89370400440532013000' },
    creditorName: 'Shop',
  };
  return http.post(`${partner.url}/v1/payments/domestic-transfers`, JSON.stringify(order), {
    headers: {
      'Content-Type': 'application/json',
      'Idempotency-Key': `k6-${id}`,
      'X-Request-ID': id,
      'TPP-Redirect-URI': partner.redirectURI,
    },
    responseType: 'text', // also where a script throws bodies away
    tags: { name: 'create' },
  });
}

// code is the one-time code of a base32 seed now: RFC 6238 with HMAC-SHA-1, six digits, 30 s.
export function code(seed) {
  const key = new Uint8Array(Math.floor((seed.length * 5) / 8));
  let bits = 0;
  let held = 0;
  let n = 0;
  for (const letter of seed) {
    held = ((held << 5) | 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter)) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      key[n++] = (held >> bits) & 0xff;
    }
  }
  const counter = new DataView(new ArrayBuffer(8));
  counter.setUint32(4, Math.floor(Date.now() / 30000));
  const mac = new DataView(crypto.hmac('sha1', key.buffer, counter.buffer, 'binary'));
  const number = mac.getUint32(mac.getUint8(19) & 15) & 0x7fffffff;
  return String(number % 1000000).padStart(6, '0');
}
