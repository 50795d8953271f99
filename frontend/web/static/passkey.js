// The one script of the pages: it asks the browser for a passkey and sends the page's form with what comes. Without it the form's button stays
// hidden, and the page offers the other ways.
"use strict";
(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const part = (name) => document.querySelector(`[data-${name}]`);
  if (!window.PublicKeyCredential || !navigator.credentials) {
    part("unsupported").hidden = false;
    return;
  }
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const keys = (list) => (list || []).map((k) => ({ ...k, id: bytes(k.id) }));
  const make = form.dataset.passkey === "create";
  const button = form.querySelector("button");
  const failed = part("failed");

  async function ask() {
    const o = JSON.parse(form.dataset.options);
    o.challenge = bytes(o.challenge);
    if (make) {
      o.user.id = bytes(o.user.id);
      o.excludeCredentials = keys(o.excludeCredentials);
      return navigator.credentials.create({ publicKey: o });
    }
    o.allowCredentials = keys(o.allowCredentials);
    return navigator.credentials.get({ publicKey: o });
  }

  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    failed.hidden = true;
    try {
      const c = await ask();
      const response = { clientDataJSON: text(c.response.clientDataJSON) };
      if (make) {
        response.attestationObject = text(c.response.attestationObject);
      } else {
        response.authenticatorData = text(c.response.authenticatorData);
        response.signature = text(c.response.signature);
      }
      form.elements.credential.value = JSON.stringify({ id: c.id, rawId: text(c.rawId), type: c.type, clientExtensionResults: {}, response });
      form.submit();
    } catch (error) {
      // Cancelled, timed out, or no such passkey here: the browser has said which.
      failed.hidden = false;
      button.disabled = false;
    }
  });
})();
