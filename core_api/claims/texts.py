"""What candidates read of their claim beside what was written to them, in both languages."""

from typing import Final

from core_api.claims.states import ClaimState

STATES: Final = {
    ClaimState.opened: (
        "Your claim has arrived and waits to be acknowledged.",
        "وصل اعتراضك وهو بانتظار تأكيد الاستلام.",
    ),
    ClaimState.acknowledged: (
        "Your claim was acknowledged and is being examined.",
        "تم تأكيد استلام اعتراضك وهو قيد الدراسة.",
    ),
    ClaimState.asked: (
        "You were asked something about your claim: answer before the deadline, or it expires.",
        "طُلب منك توضيح بشأن اعتراضك: أجب قبل انتهاء المهلة وإلا سقط الاعتراض.",
    ),
    ClaimState.under_dispute: (
        "Somebody else looks at your claim a second time.",
        "يعيد شخص آخر النظر في اعتراضك مرة ثانية.",
    ),
    ClaimState.resolved: ("Your claim was resolved.", "تم البت في اعتراضك."),
    ClaimState.withdrawn: ("You have withdrawn your claim.", "لقد سحبت اعتراضك."),
    ClaimState.expired: (
        "Your claim has expired: what you were asked was not answered in time.",
        "سقط اعتراضك: لم تتم الإجابة عما طُلب منك خلال المهلة.",
    ),
}
