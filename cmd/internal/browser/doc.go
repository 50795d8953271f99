// Package browser drives the real programs with a real browser: a bank, a core and a shop as netbank-lab runs them, and a headless
// Chromium that goes from the shop to the bank and back, in Chinese and English, with and without JavaScript, by mouse
// and by keyboard, and that lets axe-core look at every page.
//
// It holds tests only. They need a Chromium; where there is none they are skipped, except in CI, where that is a failure.
//
// NETBANK_SCREENSHOTS names a folder for pictures of every page.
package browser
