// Joins an exam at the hub as a client of SignalR does, prints the first alert, leaves, and stops.
import { HubConnectionBuilder, LogLevel } from "@microsoft/signalr";

const [url, token, exam, other] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));
const hub = new HubConnectionBuilder()
    .withUrl(url, { accessTokenFactory: () => token })
    .configureLogging(LogLevel.None)
    .build();
const alert = new Promise((resolve) => hub.on("EventAlert", resolve));
await hub.start();
await hub.invoke("JoinExamMonitoring", other).catch((error) => say({ refused: error.message }));
await hub.invoke("JoinExamMonitoring", exam);
say({ joined: exam });
say({ alert: await alert });
await hub.invoke("LeaveExamMonitoring", exam);
await hub.stop();
