class ProctorClient {
    constructor(sessionId, heartbeatInterval = 15000) {
      this.sessionId = sessionId;
        this.heartbeatInterval = heartbeatInterval;
    }

    start() {
        // Start heartbeat
        this.heartbeatTimer = setInterval(() => this.sendHeartbeat(), this.heartbeatInterval);

 // Listen for violations
        document.addEventListener('visibilitychange', () => this.onVisibilityChange());
        document.addEventListener('fullscreenchange', () => this.onFullscreenChange());
      document.addEventListener('copy', () => this.logEvent('CopyAttempt', 3));
 document.addEventListener('paste', () => this.logEvent('PasteAttempt', 3));
window.addEventListener('blur', () => this.logEvent('WindowBlurred', 1));
    }

    async logEvent(eventType, severity, metadata = {}) {
    await fetch('/api/proctor/event', {
    method: 'POST',
            headers: { 'Content-Type': 'application/json', 'Authorization': `Bearer ${this.token}` },
            body: JSON.stringify({
                proctorSessionId: this.sessionId,
         eventType: eventType,
             severity: severity,
     metadataJson: JSON.stringify(metadata),
clientTimestamp: new Date().toISOString()
     })
        });
    }

    async sendHeartbeat() {
    const response = await fetch('/api/proctor/heartbeat', {
            method: 'POST',
 headers: { 'Content-Type': 'application/json', 'Authorization': `Bearer ${this.token}` },
       body: JSON.stringify({
     proctorSessionId: this.sessionId,
         clientTimestamp: new Date().toISOString()
            })
        });
        const result = await response.json();
        if (result.data.hasWarning) {
    this.showWarning(result.data.warningMessage);
        }
    }

    stop() {
        clearInterval(this.heartbeatTimer);
    }
}
