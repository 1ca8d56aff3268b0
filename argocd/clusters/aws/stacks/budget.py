"""Who is written to before the month gets expensive."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from parameters import Stage

from stacks.common import StageStack


class BudgetStack(StageStack):
    """One monthly budget for the account: a warning by forecast, one by what was spent."""

    def __init__(self, app: cdk.App, stage: Stage):
        super().__init__(app, stage, "budget", f"Budget of the account of {stage.name}")
        reader = budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=stage.budget.email)
        budgets.CfnBudget(
            self,
            "Monthly",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=f"slipway-{stage.name}",
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=stage.budget.monthly, unit="USD"),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[reader],
                )
                for kind, percent in (("FORECASTED", 100), ("ACTUAL", 80))
            ],
        )
