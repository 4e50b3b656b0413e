// What a page does around the client class of proctor-module.txt, which it takes as it stands (proctor_client.js).

// Members that the class asks for and leaves to the page.
ProctorClient.prototype.onVisibilityChange = function () {};
ProctorClient.prototype.showWarning = function (message) { this.warning = message; };

// Sign in at the core API and begin the exam; return a client whose events go where the session's start says.
async function sit(core, email, password) {
  const ask = async (method, path, body, token) => {
    const headers = { 'Content-Type': 'application/json', 'X-Request-Id': 'page-of-a-test' };
    if (token) headers.Authorization = `Bearer ${token}`;
    const reply = await fetch(core + path, { method, headers, body: body && JSON.stringify(body) });
    if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
    return reply.json();
  };
  const { access_token: token } = await ask('POST', '/api/auth/login', { email, password });
  const { exams } = await ask('GET', '/api/student/exams/available', null, token);
  const attempt = await ask('POST', `/api/student/exams/${exams[0].id}/start`, null, token);
  const { data, ingestUrl, beaconToken } = await ask('POST', '/api/proctor/session', { attemptId: attempt.attempt_id }, token);

  // The class asks for addresses of its own page's origin: from here on that is where events go.
  const base = document.createElement('base');
  base.href = `${ingestUrl}/`;
  document.head.append(base);

  const client = new ProctorClient(data.proctorSessionId, data.heartbeatIntervalSeconds * 1000);
  client.token = token;
  Object.assign(client, { ingestUrl, beaconToken });
  client.start();
  return client;
}

// When the page is left its last event goes without a header, by the session's own token.
function beaconAtTheEnd(client, eventType, metadata) {
  addEventListener('pagehide', () => navigator.sendBeacon('/api/proctor/events/bulk', JSON.stringify({
    beaconToken: client.beaconToken,
    proctorSessionId: client.sessionId,
    events: [{ eventType, severity: 2, metadataJson: JSON.stringify(metadata) }],
  })));
}
