// Sign-in pages of 100 payments at RATE a second for DURATION, 1,000 at most: a link takes 10 a second. VUS virtual users are
// made beforehand, and up to VUS_MAX as they are missed.
import exec from 'k6/execution';
import http from 'k6/http';
import { create, tlsAuth } from './k6-bank.js';

const vus = Number(__ENV.VUS || 64);

export const options = {
  scenarios: {
    page: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 100),
      timeUnit: '1s',
      duration: __ENV.DURATION || '10s',
      preAllocatedVUs: vus,
      maxVUs: Number(__ENV.VUS_MAX || vus),
    },
  },
  tlsAuth,
  discardResponseBodies: true,
  thresholds: { 'http_req_duration{scenario:page}': ['max>=0'] }, // always met; it keeps the creates of setup() out of the figures
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
};

export function setup() {
  return Array.from({ length: 100 }, () => {
    const answer = create();
    if (answer.status !== 201) throw new Error(`a create was answered with ${answer.status}`);
    return answer.json('_links.scaRedirect.href');
  });
}

export default function (links) {
  http.get(links[exec.scenario.iterationInTest % links.length], { tags: { name: 'sign-in page' } });
}
