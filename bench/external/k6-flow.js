// The whole way of a payment, as a browser goes it: created by the shop over mutual TLS, sign-in page, sign in, choose an account,
// one-time code, result. Cookies are k6's own; forms are found by the autocomplete tokens that password managers go by.
//
// RATE flows are begun each second for DURATION whatever becomes of them, as long as VUS virtual users have one to spare; each
// waits THINK seconds on average before a form is sent. A customer's code is good once in 30 s: with fewer customers than
// RATE x DURATION, and 30 s between two turns of the same one, flows fail for that alone.
import { sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { code, create, customers, partner, tlsAuth } from './k6-bank.js';

const rate = Number(__ENV.RATE || 10);
const think = Number(__ENV.THINK || 1);
const vus = Number(__ENV.VUS || Math.ceil(rate * (4 * think + 2)));

export const options = {
  scenarios: {
    flow: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: __ENV.DURATION || '10s',
      preAllocatedVUs: vus,
      gracefulStop: '30s',
    },
  },
  tlsAuth,
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
};

// Each flow ends as one of these. k6 can tell that a page said "paid"; whether the money moved once, it cannot.
const paid = new Counter('flows_paid');
const refused = new Counter('flows_refused');
const lost = new Counter('flows_lost');
const duration = new Trend('flow_work', true); // a flow without its think times

const signIn = 'form:has(input[autocomplete=current-password])';
const choose = 'form:has(input[type=radio])';
const confirm = 'form:has(input[autocomplete=one-time-code])';

function submit(page, name, formSelector, fields) {
  sleep(-Math.log(1 - Math.random()) * think);
  const began = Date.now();
  const next = page.submitForm({ formSelector, fields, params: { tags: { name } } });
  return [next, Date.now() - began];
}

const has = (page, selector) => page.body && page.html().find(selector).size() > 0;

// told reads the outcome off the link that leads back to the merchant.
function told(page) {
  const link = page.html().find(`a[href^="${partner.redirectURI}"]`).attr('href') || '';
  if (!link.includes('paymentId=')) return '';
  const failure = /[?&]error=([a-z-]+)/.exec(link);
  return failure ? failure[1] : 'paid';
}

// A run begins with any of the customers, so that two runs within 30 s seldom ask one of them twice.
export function setup() {
  return Math.floor(Math.random() * customers.length);
}

export default function (first) {
  const who = customers[(first + exec.scenario.iterationInTest) % customers.length];
  const began = Date.now();
  const created = create();
  if (created.status !== 201) return (created.status === 429 || created.status === 503 ? refused : lost).add(1);
  let page = http.get(created.json('_links.scaRedirect.href'), { tags: { name: 'sign-in page' } });
  let work = Date.now() - began;
  // The account is named even where the page has checked it: k6 takes checked="checked" only, and leaves a bare checked out.
  const steps = [
    ['sign in', signIn, () => ({ username: who.username, password: who.password })],
    ['choose account', choose, (form) => ({ account: form.find('input[type=radio]').first().attr('value') })],
    ['send code', confirm, () => ({ code: code(who.totp) })],
  ];
  for (const [name, selector, fields] of steps) {
    if (!has(page, selector)) return (page.status === 503 ? refused : lost).add(1);
    let took;
    [page, took] = submit(page, name, selector, fields(page.html().find(selector)));
    work += took;
  }
  // A page that says "processing" is held back by the bank until there is news; it is looked at again, at most three times.
  const sent = Date.now();
  for (let looks = 0; looks < 3 && page.status === 200 && told(page) === '' && !has(page, confirm); looks++) {
    page = http.get(page.url, { tags: { name: 'result' } });
  }
  duration.add(work + Date.now() - sent);
  (told(page) === 'paid' ? paid : page.status === 503 ? refused : lost).add(1);
}
