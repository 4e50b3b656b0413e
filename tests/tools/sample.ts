// A small typed client over the generated types: checked by the compiler, never run.
import type { components, operations, paths } from "./veritas";

type Schemas = components["schemas"];
type Body<Name extends keyof operations> = operations[Name] extends {
  requestBody?: { content: { "application/json": infer Content } };
}
  ? Content
  : never;
type Reply<Name extends keyof operations, Status extends number> = operations[Name]["responses"] extends {
  [Code in Status]: { content: { "application/json": infer Content } };
}
  ? Content
  : never;

declare const token: string;

async function send<Answer>(method: string, path: string, body: unknown): Promise<Answer> {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) {
    const problem: Schemas["Problem"] = await response.json();
    const code: Schemas["ErrorCode"] = problem.code;
    throw new Error(code === "too_large" ? "send less at once" : `${code}: ${problem.detail} (${problem.requestId})`);
  }
  return (await response.json()) as Answer;
}

export async function sit(examId: string): Promise<string> {
  const path: keyof paths = "/api/student/exams/{exam_id}/start";
  const attempt = await send<Reply<"start_attempt", 201>>("POST", path.replace("{exam_id}", examId), {});
  const status: "in_progress" | "completed" | "abandoned" = attempt.status;
  const taken: Body<"create_session"> = { attemptId: attempt.attempt_id, mode: 1 };
  const session = await send<Reply<"create_session", 201>>("POST", "/api/proctor/session", taken);

  const event: Body<"log_event"> = {
    proctorSessionId: session.data.proctorSessionId,
    eventType: "CopyAttempt",
    severity: 3,
    metadataJson: JSON.stringify({ length: 12 }),
    clientTimestamp: new Date().toISOString(),
  };
  const logged = await send<Reply<"log_event", 202>>("POST", "/api/proctor/event", event);
  const label: "Info" | "Low" | "Medium" | "High" | "Critical" | "Terminal" = logged.data.severityLabel;
  const stored: number = logged.ack.storedThrough;
  return `${status} ${label} ${stored}`;
}

export const refused: Body<"log_event">[] = [
  // @ts-expect-error  an event belongs to a session
  { eventType: 2 },
  // @ts-expect-error  no severity is called so
  { proctorSessionId: 1, eventType: 2, severity: "catastrophic" },
  // @ts-expect-error  no type has this number
  { proctorSessionId: 1, eventType: 13 },
];

type Message = Schemas["SnapshotMessage"] | Schemas["DeltaMessage"] | Schemas["PingMessage"] | Schemas["EndMessage"];

// A wall over the socket of an exam: the sessions that run, and where to go on from.
export function take(wall: Map<number, Schemas["LiveSession"]>, message: Message): string | undefined {
  if (message.event === "ping" || message.event === "end") return undefined;
  for (const session of message.data.sessions) {
    if (session.status === 1) wall.set(session.proctorSessionId, session);
    else wall.delete(session.proctorSessionId);
  }
  return message.id;
}
